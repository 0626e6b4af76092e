"""The embedder that knows meaning: all-MiniLM-L6-v2, run by torch in this process. Needs the extra `torch`; English."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

from aios_kernel.errors import ModelLoadError
from aios_kernel.store.vectors import load_numpy

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["MINILM", "MiniLMEmbedder"]

MINILM = "all-minilm-l6-v2"
MOST_TOKENS = 256  # the model's authors cut texts here
BATCH = 32


class MiniLMEmbedder:
    """Mean of the model's last states, 384 numbers of length 1; texts are cut after 256 tokens.

    `folder` holds the model's files (default: what `aios models pull all-minilm-l6-v2` put into the cache). Loaded by
    the first call.
    """

    def __init__(self, folder: str | Path | None = None, *, device: str = "cpu") -> None:
        self._folder, self._device = folder, device
        self._lock = threading.Lock()
        self._loaded: tuple[Any, Any, Any] | None = None

    @property
    def space(self) -> str:
        """The model's name."""
        return MINILM

    def embed(self, texts: Sequence[str]) -> list[list[float]]:
        """One vector per text."""
        torch, tokenizer, model = self._load()
        # Texts of like length together: padding is work too.
        order = sorted(range(len(texts)), key=lambda at: len(texts[at]))
        vectors: dict[int, list[float]] = {}
        for start in range(0, len(order), BATCH):
            places = order[start : start + BATCH]
            with self._lock:  # the tokenizer is not for several threads; torch uses all cores anyway
                batch = tokenizer(
                    [texts[at] for at in places],
                    padding=True,
                    truncation=True,
                    max_length=MOST_TOKENS,
                    return_tensors="pt",
                ).to(self._device)
                with torch.inference_mode():
                    states = model(**batch).last_hidden_state
                    mask = batch["attention_mask"].unsqueeze(-1).to(states.dtype)
                    mean = (states * mask).sum(1) / mask.sum(1)
                    rows = torch.nn.functional.normalize(mean, dim=1).float().cpu().tolist()
            vectors.update(zip(places, rows, strict=True))
        return [vectors[at] for at in range(len(texts))]

    def embed_query(self, text: str) -> list[float]:
        """The same for one text."""
        return self.embed([text])[0]

    def _load(self) -> tuple[Any, Any, Any]:
        with self._lock:
            if self._loaded is None:
                self._loaded = _load(self._folder, self._device)
            return self._loaded


def _load(folder: str | Path | None, device: str) -> tuple[Any, Any, Any]:
    load_numpy()  # before torch does, beside a search that does too
    try:
        import torch
        import transformers
    except ImportError as error:
        raise ModelLoadError(
            "this embedder needs torch and transformers: pip install 'aios-adapters[torch]'"
        ) from error
    from aios_kernel.models import path
    from aios_kernel.models.quiet import quiet_transformers

    source = Path(folder) if folder is not None else path(MINILM)
    auto: Any = transformers  # its classes are typed only in part
    try:
        with quiet_transformers():
            tokenizer = auto.AutoTokenizer.from_pretrained(source, local_files_only=True)
            model = auto.AutoModel.from_pretrained(source, local_files_only=True, dtype=torch.float32)
    except (OSError, ValueError) as error:
        raise ModelLoadError(f"cannot load {MINILM} from {source}: {error}") from error
    return torch, tokenizer, model.to(device).eval()
