"""The torch core's encoder: sentence-embedding models, whose texts of many callers go through the model together."""

from __future__ import annotations

import contextlib
import json
import threading
from collections import deque
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, cast

from aios_kernel.abi import EmbeddingCall, Reply, Usage
from aios_kernel.cores.base import Core
from aios_kernel.errors import CoreError, KernelClosed, ModelLoadError
from aios_kernel.scheduling.limiter import FixedLimiter

if TYPE_CHECKING:
    from collections.abc import Sequence

    from aios_kernel.abi import LLMCall
    from aios_kernel.serving import Job

__all__ = ["MINILM", "Encoder", "EncoderCore"]

MINILM = "all-minilm-l6-v2"
MINILM_TOKENS = 256  # the model's authors cut texts here
BATCH = 32  # texts
AT_ONCE = 32  # calls; the rest waits in the policy's order


class Encoder:
    """A model that makes a vector of a text: the mean of its last states, or the first, of length 1. Thread-safe.

    `model` is a model of the catalog, a folder, or a hub name. Loaded by the first use; raises `ModelLoadError`.
    """

    def __init__(self, model: str | Path = MINILM, *, device: str = "cpu") -> None:
        self.model, self.device = str(model), device
        self._loading, self._working = threading.Lock(), threading.Lock()
        self._loaded: _Loaded | None = None

    def load(self) -> _Loaded:
        """Load the model now."""
        if self._loaded is None:  # looked at first: whoever asks may be an event loop, and must not wait for a batch
            with self._loading:
                self._loaded = self._loaded or _load(self.model, self.device)
        return self._loaded

    def encode(self, texts: Sequence[str]) -> list[tuple[list[float], int]]:
        """The vector of each text, and how many tokens it has."""
        loaded = self.load()
        # Texts of like length together: padding is work too.
        order = sorted(range(len(texts)), key=lambda at: len(texts[at]))
        found: dict[int, tuple[list[float], int]] = {}
        for start in range(0, len(order), BATCH):
            places = order[start : start + BATCH]
            with self._working:  # the tokenizer is not for several threads; torch uses all cores anyway
                found.update(zip(places, loaded.encode([texts[at] for at in places], self.device), strict=True))
        return [found[at] for at in range(len(texts))]

    def after_fork(self) -> None:
        """Be usable in a child process, with what is loaded."""
        self._loading, self._working = threading.Lock(), threading.Lock()
        if self._loaded is not None:
            # OpenMP's threads stayed in the parent, and a child that wakes them hangs.
            self._loaded.torch.set_num_threads(1)


@dataclass(frozen=True, slots=True)
class _Loaded:
    torch: Any
    tokenizer: Any
    model: Any
    most_tokens: int
    first: bool  # the state of the first token stands for the text, not the mean of all

    def encode(self, texts: list[str], device: str) -> list[tuple[list[float], int]]:
        batch = self.tokenizer(
            texts, padding=True, truncation=True, max_length=self.most_tokens, return_tensors="pt"
        ).to(device)
        with self.torch.inference_mode():
            states = self.model(**batch).last_hidden_state
            mask = batch["attention_mask"].unsqueeze(-1).to(states.dtype)
            pooled = states[:, 0] if self.first else (states * mask).sum(1) / mask.sum(1)
            rows = self.torch.nn.functional.normalize(pooled, dim=1).float().cpu().tolist()
        return list(zip(rows, batch["attention_mask"].sum(1).tolist(), strict=True))


def _load(name: str, device: str) -> _Loaded:
    # Before torch does, beside a search that does too.
    from aios_kernel.store.vectors import load_numpy

    load_numpy()
    try:
        import torch
        import transformers
    except ImportError as error:
        raise ModelLoadError("embeddings need torch and transformers: pip install 'aios-adapters[torch]'") from error
    from aios_kernel.models import CATALOG, path
    from aios_kernel.models.quiet import quiet_transformers

    source = path(name) if name in CATALOG else name
    auto: Any = transformers  # its classes are typed only in part
    try:
        with quiet_transformers():
            tokenizer = auto.AutoTokenizer.from_pretrained(source, local_files_only=name in CATALOG)
            model = auto.AutoModel.from_pretrained(source, local_files_only=name in CATALOG, dtype=torch.float32)
    except (OSError, ValueError) as error:
        raise ModelLoadError(f"cannot load {name} from {source}: {error}") from error
    if getattr(model.config, "is_decoder", False) or not hasattr(model.config, "max_position_embeddings"):
        raise ModelLoadError(f"{name} is no encoder: serve it with torch:{name}")
    folder = Path(source)
    most = MINILM_TOKENS if name == MINILM else int(model.config.max_position_embeddings)
    most = int(_config(folder / "sentence_bert_config.json").get("max_seq_length") or most)
    pooling = _config(folder / "1_Pooling" / "config.json")
    first = bool(pooling.get("pooling_mode_cls_token"))
    if pooling and not first and not pooling.get("pooling_mode_mean_tokens"):
        raise ModelLoadError(f"{name} pools its states in a way that is not known here: {pooling}")
    return _Loaded(torch, tokenizer, model.to(device).eval(), most, first)


def _config(file: Path) -> dict[str, Any]:
    with contextlib.suppress(OSError, ValueError):
        return cast("dict[str, Any]", json.loads(file.read_text(encoding="utf-8")))
    return {}


@dataclass(slots=True, eq=False)
class _Request:
    """A call's texts, and what has come of them."""

    job: Job
    texts: list[str]
    results: list[tuple[list[float], int]] = field(default_factory=list[tuple[list[float], int]])


class EncoderCore(Core):
    """Serve embeddings. What callers ask for at the same time goes through the model together, in one thread.

    A batch takes texts of the calls in the order of their grants, so that a call of a thousand texts holds up nobody
    for longer than one batch each.
    """

    kind: ClassVar[str] = "encoder"
    operations: ClassVar[frozenset[str]] = frozenset({"embedding"})

    def __init__(self, model: str | Path = MINILM, *, name: str | None = None, device: str = "cpu") -> None:
        super().__init__(name or f"encoder:{model}", FixedLimiter(AT_ONCE))
        self.encoder = Encoder(model, device=device)
        self._begin()
        self._closed = False

    def load(self) -> None:
        """Load the model now instead of at the first call; raises `ModelLoadError`."""
        self.encoder.load()

    def prepare(self, call: LLMCall) -> list[str]:
        """Check the call, and load the model; raises `CoreError` for what the model cannot do."""
        if not isinstance(call, EmbeddingCall):
            raise CoreError(f"{self.encoder.model} makes vectors of texts and answers no {call.operation}")
        size = int(self.encoder.load().model.config.hidden_size)
        if call.dimensions not in {None, size}:
            raise CoreError(f"dimensions: vectors of {self.encoder.model} have {size} numbers, not {call.dimensions}")
        texts = [text for text in call.inputs if isinstance(text, str)]
        if len(texts) != len(call.inputs):
            raise CoreError("input: this model takes texts, not numbers of tokens")
        return texts

    def start(self, job: Job) -> None:
        """Put the job in line for the thread."""
        with self._work:
            if not self._closed:
                self._waiting.append(_Request(job, cast("list[str]", job.prepared)))
                if self._thread is None:
                    self._thread = threading.Thread(target=self._run, name=f"aios-{self.name}", daemon=True)
                    self._thread.start()
                self._work.notify()
                return
        job.fail(KernelClosed(f"core {self.name!r} is closed"))

    def status(self) -> dict[str, Any]:
        """Describe the core."""
        return {**super().status(), "model": self.encoder.model, "device": self.encoder.device, "texts": self._texts}

    def after_fork(self) -> None:
        """Begin with no calls and a thread of this process's own."""
        self.limiter = FixedLimiter(AT_ONCE)
        self.encoder.after_fork()
        self._begin()

    def close(self) -> None:
        """End every job; idempotent."""
        with self._work:
            self._closed = True
            left, self._waiting = list(self._waiting), deque()
            self._work.notify()
        for request in left:
            request.job.fail(KernelClosed(f"core {self.name!r} is closed"))

    def _begin(self) -> None:
        self._work = threading.Condition()
        self._waiting: deque[_Request] = deque()
        self._thread: threading.Thread | None = None
        self._texts = 0

    def _run(self) -> None:
        while batch := self._next():
            if not self._encode(batch):
                for one in batch:  # a text that the model cannot take fails its own call only
                    self._encode([one], last=True)

    def _encode(self, batch: list[tuple[_Request, list[str]]], *, last: bool = False) -> bool:
        try:
            found = self.encoder.encode([text for _, texts in batch for text in texts])
        except Exception as error:  # noqa: BLE001 - a failure of the model is the caller's
            if last:
                failure = CoreError(f"core {self.name!r}: {error!r}")
                failure.__cause__ = error
                self._leave(batch[0][0])
                batch[0][0].job.fail(failure)
            return False
        self._texts += len(found)
        left = iter(found)
        for request, texts in batch:
            request.results += [next(left) for _ in texts]
            if len(request.results) == len(request.texts):
                self._leave(request)
                request.job.finish(_reply(request))
        return True

    def _next(self) -> list[tuple[_Request, list[str]]]:
        """The texts of the next batch, by request; nothing when the core is closed."""
        with self._work:
            while True:
                for request in [one for one in self._waiting if one.job.cancelled]:
                    self._waiting.remove(request)
                    request.job.fail(CoreError("the call was cancelled"))
                if self._waiting or self._closed:
                    break
                self._work.wait()
            if self._closed:
                return []
            share = max(1, BATCH // len(self._waiting))
            batch: list[tuple[_Request, list[str]]] = []
            room = BATCH
            for request in self._waiting:
                done = len(request.results)
                texts = request.texts[done : done + min(share, room)]
                batch.append((request, texts))
                room -= len(texts)
                if room <= 0:
                    break
            return batch

    def _leave(self, request: _Request) -> None:
        with self._work, contextlib.suppress(ValueError):  # the core was closed meanwhile
            self._waiting.remove(request)


def _reply(request: _Request) -> Reply:
    vectors = tuple(tuple(vector) for vector, _ in request.results)
    return Reply(vectors=vectors, usage=Usage(input_tokens=sum(count for _, count in request.results)))
