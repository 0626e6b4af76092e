"""Embeddings that are not backed by the openai SDK."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from aios_adapters.langchain._leaves import Exchange
from aios_kernel.abi import EmbeddingCall

if TYPE_CHECKING:
    from aios_kernel.abi import Reply

__all__ = ["Documents", "Query"]


class Documents(Exchange):
    """One call of `embed_documents` or `aembed_documents`: texts in, vectors out."""

    def request(self, model: Any, given: Any, stop: Any, options: dict[str, Any]) -> EmbeddingCall | None:
        """Translate the texts; None for a cache around other embeddings, whose own calls are the syscalls."""
        del stop
        if hasattr(model, "underlying_embeddings"):
            return None
        names = (getattr(model, name, None) for name in ("model", "model_name", "model_id"))
        name = next((name for name in names if isinstance(name, str)), type(model).__name__)
        inputs = (given,) if isinstance(given, str) else tuple(given)
        return EmbeddingCall(model=name, inputs=inputs, extra=options)

    def served(self, reply: Reply) -> Any:
        """Return a vector for each text."""
        return [list(vector) for vector in reply.vectors]


class Query(Documents):
    """One call of `embed_query` or `aembed_query`: a text in, a vector out."""

    def served(self, reply: Reply) -> Any:
        """Return the vector."""
        return list(reply.vectors[0])
