"""Embedders of others: any object with `embed_documents` and `embed_query`, the methods of LangChain's `Embeddings`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["WrappedEmbedder"]


class _Embeddings(Protocol):
    def embed_documents(self, texts: list[str]) -> list[list[float]]: ...
    def embed_query(self, text: str) -> list[float]: ...


class WrappedEmbedder:
    """Embed with such an object; `space` is told where class and model name do not say whose vectors they are."""

    def __init__(self, embeddings: _Embeddings, space: str = "") -> None:
        self._embeddings = embeddings
        model = getattr(embeddings, "model", None) or getattr(embeddings, "model_name", None) or ""
        self._space = space or f"{type(embeddings).__name__}:{model}"

    @property
    def space(self) -> str:
        """The name that was given, or class and model."""
        return self._space

    def embed(self, texts: Sequence[str]) -> list[list[float]]:
        """One vector per text."""
        return self._embeddings.embed_documents(list(texts))

    def embed_query(self, text: str) -> list[float]:
        """The vector of a text that is searched for."""
        return self._embeddings.embed_query(text)
