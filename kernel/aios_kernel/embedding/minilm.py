"""The embedder that knows meaning: all-MiniLM-L6-v2, run by torch in this process. Needs the extra `torch`; English."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aios_kernel.cores.torch.encoder import MINILM, Encoder

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

__all__ = ["MINILM", "MiniLMEmbedder"]


class MiniLMEmbedder:
    """Mean of the model's last states, 384 numbers of length 1; texts are cut after 256 tokens.

    `folder` holds the model's files (default: what `aios models pull all-minilm-l6-v2` put into the cache). Loaded by
    the first call. To share one with other agents and programs, serve it (`EncoderCore`) and use a `KernelEmbedder`.
    """

    def __init__(self, folder: str | Path | None = None, *, device: str = "cpu") -> None:
        self._encoder = Encoder(MINILM if folder is None else folder, device=device)

    @property
    def space(self) -> str:
        """The model's name."""
        return MINILM

    def embed(self, texts: Sequence[str]) -> list[list[float]]:
        """One vector per text."""
        return [vector for vector, _ in self._encoder.encode(texts)]

    def embed_query(self, text: str) -> list[float]:
        """The same for one text."""
        return self.embed([text])[0]
