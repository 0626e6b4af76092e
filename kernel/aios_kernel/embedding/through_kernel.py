"""Embeddings by a core of the kernel, such as an OpenAI-compatible endpoint: each batch is a syscall like any other."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aios_kernel.abi import EmbeddingCall
from aios_kernel.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from aios_kernel.gate import Gate

__all__ = ["KernelEmbedder"]

BATCH = 64


class KernelEmbedder:
    """Embed with a model that the kernel serves; `gate` returns the kernel, which may be made later than this.

    The kernel's core has to serve the model itself (`llm="openai:URL"`): in a lease there is nobody to make the call.
    """

    def __init__(
        self, gate: Callable[[], Gate], model: str, *, dimensions: int | None = None, timeout: float | None = 60.0
    ) -> None:
        self._gate, self._model = gate, model
        self._dimensions, self._timeout = dimensions, timeout

    @property
    def space(self) -> str:
        """The model, and the length of vectors where one was asked for."""
        return f"{self._model}/{self._dimensions}" if self._dimensions else self._model

    def embed(self, texts: Sequence[str]) -> list[Sequence[float]]:
        """One vector per text."""
        return [vector for at in range(0, len(texts), BATCH) for vector in self._ask(texts[at : at + BATCH])]

    def embed_query(self, text: str) -> Sequence[float]:
        """The same for one text."""
        return self._ask([text])[0]

    def _ask(self, texts: Sequence[str]) -> Sequence[Sequence[float]]:
        call = EmbeddingCall(model=self._model, inputs=list(texts), dimensions=self._dimensions, timeout=self._timeout)
        with self._gate().syscall(call) as grant:
            if grant.lease:
                raise ConfigError(
                    f"no core of the kernel serves embeddings of {self._model!r}: give it one, as llm='openai:URL'"
                )
            return grant.reply().vectors
