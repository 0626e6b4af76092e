"""The embedder interface: texts to vectors."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["Embedder"]


class Embedder(Protocol):
    """Turns texts into vectors that lie near each other where the texts are alike. Called from several threads."""

    @property
    def space(self) -> str:
        """A name shared only by embedders whose vectors may be compared: another name means to embed anew."""
        ...

    def embed(self, texts: Sequence[str]) -> Sequence[Sequence[float]]:
        """One vector per text that is kept; all of one length."""
        ...

    def embed_query(self, text: str) -> Sequence[float]:
        """The vector of a text that is searched for; the same as `embed`'s for most embedders."""
        ...
