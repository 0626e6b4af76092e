"""Embeddings that are not backed by the openai SDK, below LlamaIndex's cache, callbacks and rate limiter."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from aios_adapters.llama_index._leaves import Exchange, Wrap, awhole, backed_by, whole
from aios_kernel.abi import EmbeddingCall

if TYPE_CHECKING:
    from aios_kernel.abi import Reply

__all__ = ["METHODS"]

_SDK = "llama_index.embeddings.openai"


class _Texts(Exchange):
    """Texts in, vectors out."""

    @property
    def elsewhere(self) -> bool:
        return backed_by(self.model, _SDK)

    def build(self) -> EmbeddingCall | None:
        """Translate the texts."""
        if self.elsewhere:
            return None
        given: Any = self.args[0] if self.args else next(iter(self.kwargs.values()))
        name = getattr(self.model, "model_name", "")
        return EmbeddingCall(
            model=name if name and name != "unknown" else type(self.model).__name__,
            inputs=(given,) if isinstance(given, str) else tuple(given),
        )

    def served(self, reply: Reply) -> Any:
        """Return a vector for each text."""
        return [list(vector) for vector in reply.vectors]


class _Text(_Texts):
    """A text in, a vector out."""

    def served(self, reply: Reply) -> Any:
        """Return the vector."""
        return list(reply.vectors[0])


#: Name, replacement and coverage of every leaf. The base's own methods for several texts only call those for one; its
#: asynchronous one for a text calls the synchronous one, and is gated so that the waiting is done by the event loop.
METHODS: tuple[tuple[str, Wrap, bool | Literal["only"]], ...] = (
    ("_get_query_embedding", whole(_Text), "only"),
    ("_aget_query_embedding", awhole(_Text), "only"),
    ("_get_text_embedding", whole(_Text), "only"),
    ("_aget_text_embedding", awhole(_Text), True),
    ("_get_text_embeddings", whole(_Texts), "only"),
    ("_aget_text_embeddings", awhole(_Texts), "only"),
)
