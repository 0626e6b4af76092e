"""TorchCore: the kernel's own language-model server, in this process. Imports torch when the first call comes."""

from __future__ import annotations

import os
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from aios_kernel.cores.base import Core
from aios_kernel.cores.torch.limiter import KVLimiter
from aios_kernel.cores.torch.loading import EMBEDDED, free_ram, load
from aios_kernel.errors import ConfigError, KernelClosed, ModelLoadError

if TYPE_CHECKING:
    import torch

    from aios_kernel.abi import LLMCall
    from aios_kernel.cores.torch.engine import Engine
    from aios_kernel.cores.torch.executor import Executor
    from aios_kernel.cores.torch.loading import Loaded
    from aios_kernel.cores.torch.pool import Geometry, Pool
    from aios_kernel.cores.torch.prefix import PrefixCache
    from aios_kernel.cores.torch.preparing import Preparer
    from aios_kernel.cores.torch.runset import RunSet
    from aios_kernel.cores.torch.sequence import Prepared
    from aios_kernel.scheduling.queue import RunQueue
    from aios_kernel.serving import Job

__all__ = ["TorchCore"]

GIB = 1 << 30
CPU_SHARE, CPU_MOST = 0.25, 4 * GIB
GPU_SHARE = 0.8  # the rest is for activations
CHUNK_TOKENS = {"cpu": 256}
MAX_BATCH = {"cpu": 64}


@dataclass(slots=True)
class _Loaded:
    """What loading makes, and a fork keeps."""

    loaded: Loaded
    geometry: Geometry
    executor: Executor
    preparer: Preparer


@dataclass(slots=True)
class _Parts:
    """What exists once the model is loaded."""

    fixed: _Loaded
    pool: Pool
    cache: PrefixCache
    runset: RunSet
    engine: Engine


class TorchCore(Core):
    """Serve any transformers causal language model to many callers at once.

    `model` is a hub name, a directory, a .gguf file, "smollm2-135m-tools" (the default: the model that comes with the
    kernel), or a loaded model, which then needs its `tokenizer` and is the core's until `close`. `device` defaults to
    cuda, then mps, then cpu; `dtype` to bfloat16 where the hardware has it. `kv_memory` is the budget for keys and
    values in bytes (default: a quarter of the free RAM up to 4 GiB, 80 % of the free GPU memory); `context` lowers the
    model's context length; `max_batch` is how many sequences get a token per iteration and `chunk_tokens` how many
    prompt tokens are worked on beside them; `constrained` False switches grammars off; `options` go to
    `from_pretrained`.

    The model is loaded by the first call, or by `load()`, which raises `ModelLoadError`.
    """

    kind: ClassVar[str] = "torch"
    metered: ClassVar[bool] = True
    operations: ClassVar[frozenset[str]] = frozenset({"chat", "completion"})

    def __init__(
        self,
        model: Any = EMBEDDED,
        tokenizer: Any = None,
        *,
        name: str | None = None,
        device: str | torch.device | None = None,
        dtype: str | torch.dtype | None = None,
        context: int | None = None,
        kv_memory: int | None = None,
        max_batch: int | None = None,
        chunk_tokens: int | None = None,
        constrained: bool = True,
        prefix_sharing: bool = True,
        options: dict[str, Any] | None = None,
    ) -> None:
        for what, value in (
            ("context", context),
            ("kv_memory", kv_memory),
            ("max_batch", max_batch),
            ("chunk_tokens", chunk_tokens),
        ):
            if value is not None and value < 1:
                raise ConfigError(f"{what} of the torch core is {value}: use 1 or more")
        self._kv = KVLimiter()
        self.model = _name_of(model)
        super().__init__(name or f"torch:{self.model}", self._kv)
        self._source = model
        self._tokenizer = tokenizer
        self._placement: dict[str, Any] = {"device": device, "dtype": dtype, "context": context, "options": options}
        self._kv_memory, self._max_batch, self._chunk_tokens = kv_memory, max_batch, chunk_tokens
        self._constrained, self._prefix_sharing = constrained, prefix_sharing
        self._parts: _Parts | None = None
        self._loading = threading.Lock()
        self._closed = False

    def attach(self, queue: RunQueue) -> None:
        """Take the run queue, whose policy then also orders the batch."""
        super().attach(queue)
        if self._parts is not None:
            self._parts.runset.queue = queue

    def load(self) -> None:
        """Load the model now instead of at the first call, with all that calls need; raises ModelLoadError."""
        self._loaded().fixed.preparer.warm_up()

    def prepare(self, call: LLMCall) -> Prepared:
        """Render, tokenise and check the call; raises ModelLoadError, ContextTooLong, or CoreError."""
        return self._loaded().fixed.preparer.prepare(call)

    def start(self, job: Job) -> None:
        """Hand the job to the engine's thread."""
        self._loaded().engine.submit(job)

    def forget(self) -> None:
        """Drop what is kept of finished requests, so that nothing is shared with later ones."""
        if self._parts is not None:
            self._parts.engine.forget()

    def status(self) -> dict[str, Any]:
        """Describe the core: model, device, memory and what the engine has done."""
        about = {**super().status(), "model": self.model, "loaded": self._parts is not None}
        if (parts := self._parts) is None:
            return about
        return {
            **about,
            "device": str(parts.fixed.geometry.device),
            "dtype": str(parts.fixed.geometry.dtype).removeprefix("torch."),
            "context": parts.fixed.geometry.context,
            "kv_memory": parts.pool.budget,
            "kv_used": parts.pool.used,
            "resident": parts.engine.resident,
            "iterations": parts.engine.iterations,
            "output_tokens": parts.engine.tokens,
            "shared_tokens": parts.cache.hits,
        }

    def after_fork(self) -> None:
        """Start over in a forked child with the model that is loaded: the engine's thread stayed in the parent."""
        self._loading = threading.Lock()
        self._kv.reset()
        if self._parts is not None:
            import torch

            # OpenMP's threads stayed in the parent too, and a child that wakes them hangs.
            torch.set_num_threads(1)
            self._parts = self._with_engine(self._parts.fixed)

    def close(self) -> None:
        """End every job with KernelClosed, stop the engine and let the model go; idempotent."""
        with self._loading:
            self._closed = True
            parts, self._parts = self._parts, None
        if parts is not None:
            parts.engine.close()
            parts.fixed.executor.close()

    def _loaded(self) -> _Parts:
        parts = self._parts
        if parts is not None:
            return parts
        with self._loading:
            if self._closed:
                raise KernelClosed(f"core {self.name!r} is closed")
            if self._parts is None:
                self._parts = self._assemble()
            return self._parts

    def _assemble(self) -> _Parts:
        loaded = load(self._source, self._tokenizer, **self._placement)
        # Only now: these modules import torch.
        from aios_kernel.cores.torch.executor import Executor
        from aios_kernel.cores.torch.preparing import Preparer

        executor = Executor(loaded.model)
        try:
            geometry = executor.geometry(loaded.context)
            executor.check(geometry)
        except Exception as error:
            executor.close()
            raise ModelLoadError(
                f"model {self.model!r} ({type(loaded.model).__name__}) cannot be batched: {error}; use another "
                f"architecture, or serve it with another server through the openai core"
            ) from error
        self._kv.budget = self._kv_memory or _free_memory(geometry.device.type)
        preparer = Preparer(loaded, geometry, self._kv.budget, constrained=self._constrained, name=self.model)
        return self._with_engine(_Loaded(loaded, geometry, executor, preparer))

    def _with_engine(self, fixed: _Loaded) -> _Parts:
        """Put a fresh engine, with fresh memory, around what is loaded."""
        from aios_kernel.cores.torch.engine import Engine
        from aios_kernel.cores.torch.pool import Pool
        from aios_kernel.cores.torch.prefix import PrefixCache
        from aios_kernel.cores.torch.runset import RunSet
        from aios_kernel.cores.torch.sampling import Sampler

        kind = fixed.geometry.device.type
        pool = Pool(fixed.geometry, self._kv.budget)
        cache = PrefixCache(pool, enabled=self._prefix_sharing)
        runset = RunSet(self._max_batch or MAX_BATCH.get(kind, 256))
        runset.queue = self.queue
        engine = Engine(
            fixed.executor,
            cache,
            Sampler(),
            runset,
            fixed.preparer.text_stream,
            eos=fixed.loaded.eos,
            chunk_tokens=self._chunk_tokens or CHUNK_TOKENS.get(kind, 2048),
            name=self.model,
        )
        return _Parts(fixed, pool, cache, runset, engine)


def _name_of(model: str | os.PathLike[str] | Any) -> str:
    """A name for a model; one for each object, since cores are told apart by it."""
    if isinstance(model, (str, os.PathLike)):
        return os.fspath(model)
    return getattr(model, "name_or_path", "") or f"{type(model).__name__}-{id(model):x}"


def _free_memory(kind: str) -> int:
    """Bytes to use for keys and values by default."""
    if kind == "cuda":
        import torch

        return int(torch.cuda.mem_get_info()[0] * GPU_SHARE)
    return int(min(free_ram() * CPU_SHARE, CPU_MOST))
