"""The memory manager: what agents remember, kept in a store, with what each uses most in memory."""

from __future__ import annotations

import threading
import time
import uuid
from typing import TYPE_CHECKING, Any, ClassVar

from aios_kernel.abi import MemoryCall
from aios_kernel.embedding import make_embedder
from aios_kernel.errors import AccessDenied, ConfigError, StoreError
from aios_kernel.identity import open_tasks
from aios_kernel.logs import logger
from aios_kernel.managers import Manager
from aios_kernel.memory.arguments import Arguments, owner_named, owner_of
from aios_kernel.memory.blocks import PREFIX, Blocks
from aios_kernel.memory.memories import Memories, Writer
from aios_kernel.memory.shelves import Shelves
from aios_kernel.memory.transfer import export_notes, import_notes
from aios_kernel.store import Hybrid, make_store

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Iterable, Iterator

    from aios_kernel.abi import Call
    from aios_kernel.embedding import Embedder
    from aios_kernel.kernel import Kernel
    from aios_kernel.process import Process
    from aios_kernel.store import Hit, Store
    from aios_kernel.store.hybrid import Mode

__all__ = ["MemoryManager"]

log = logger(__name__)
BUDGET = 1 << 20
LEAVE = 5.0  # seconds to wait for a batch of embeddings when closing
READING = frozenset({"get", "list", "retrieve"})


class MemoryManager(Manager):
    """Serve memory calls; notes are written to `store` (a path, a name, or a store: see `make_store`) before a call is answered.

    Each agent, by its name, has a block of `budget` bytes in memory: above 80 % of it the notes that LRU-K
    (`k`) chooses are put out, and reading one brings it back. An agent sees its own notes only, unless
    `allowed(process, action, target)` says that it may, with an action as "memory.get" and a target as
    "memory:NAME" or "memory:group:NAME". `embedder` (an object, or a name: see `make_embedder`) is what notes are found by besides their words; notes that have vectors of another one are
    embedded anew, in the background from the first call on, with `progress(done, total)`. `now` is the time of day and
    `new_id` names notes.
    """

    kind: ClassVar[str] = "memory"
    kinds: ClassVar[frozenset[str]] = frozenset({"memory"})

    def __init__(
        self,
        store: Store | str | os.PathLike[str],
        *,
        name: str = "memory",
        embedder: Embedder | str | None = None,
        budget: int = BUDGET,
        k: int = 2,
        allowed: Callable[[Process, str, str], bool] | None = None,
        progress: Callable[[int, int], None] | None = None,
        now: Callable[[], float] = time.time,
        new_id: Callable[[], str] = lambda: uuid.uuid4().hex,
        workers: int = 8,
    ) -> None:
        super().__init__(name, workers=workers)
        if budget < 0:
            raise ConfigError(f"the budget of a memory block is {budget} bytes: use 0 (nothing in memory) or more")
        self._kernel: Kernel | None = None
        self._owns = isinstance(store, str) or hasattr(store, "__fspath__")
        self.store = make_store(store)
        self.allowed = allowed
        self._hybrid = Hybrid(self.store, make_embedder(embedder, self._gate))
        self._blocks = Blocks(self.store, budget, k)
        self._memories = Memories(self._hybrid, self._blocks, now, new_id)
        self._shelves = Shelves(self._hybrid, self._blocks, now)
        self._progress = progress
        self._embedding = threading.Lock()
        self._background: threading.Thread | None = None
        self._looked = False

    def handle(self, call: Call, process: Process) -> Any:
        """Do one memory call for an agent."""
        if not isinstance(call, MemoryCall):
            raise StoreError(f"a {call.kind} call is not a memory call")
        self._look_for_old_vectors()
        arguments = Arguments(call.verb, call.arguments)
        owners = arguments.owners(process.name)
        for owner in owners:
            self._check(process, call.verb, owner)
        if call.verb == "retrieve":
            return self._memories.retrieve(owners, arguments)
        writer = Writer(process.name, process.agent.framework, arguments.text("source", _this_call(process)))
        if call.verb == "sync":
            return self._shelves.sync(owners[0], arguments, writer)
        return getattr(self._memories, call.verb)(owners[0], arguments, writer)

    # Besides the calls of agents

    def status(self) -> dict[str, dict[str, Any]]:
        """What is in memory, by agent: notes, bytes, hits, misses, notes put out."""
        return self._blocks.status()

    def export(self, agent: str) -> Iterator[str]:
        """An agent's notes as JSON lines, oldest first."""
        return export_notes(self.store, PREFIX + owner_named(agent))

    def import_(self, agent: str, lines: Iterable[str], *, replace: bool = False) -> int:
        """Give an agent exported notes, all or none; return how many.

        Ids, times and provenance stay, versions count from here. An id that is there is a `VersionConflict`, unless
        `replace`.
        """
        return import_notes(self._hybrid, PREFIX + owner_named(agent), lines, replace=replace)

    def search(self, agent: str, query: str, k: int, mode: Mode = "hybrid") -> list[Hit]:
        """An agent's notes that fit a query best, best first. Unlike `retrieve` it has no vectors made anew."""
        return self._hybrid.search(PREFIX + owner_named(agent), query, k, None, mode)

    def set_embedder(self, embedder: Embedder, progress: Callable[[int, int], None] | None = None) -> int:
        """Use another embedder, and embed all notes with it before returning; return how many were.

        Meanwhile notes are found by their words, and by vectors as they come.
        """
        self._hybrid.embedder = embedder
        return self.catch_up(progress)

    def catch_up(self, progress: Callable[[int, int], None] | None = None) -> int:
        """Embed the notes that have no vector of the embedder, and return how many got one."""
        with self._embedding:
            return self._hybrid.catch_up(progress, belongs=_is_memory, going_on=lambda: not self._closed)

    # The Core interface

    def bind(self, kernel: Kernel) -> None:
        """Take the kernel that may serve the embedder's model."""
        self._kernel = kernel

    def after_fork(self) -> None:
        """Be usable in a child process."""
        super().after_fork()
        self.store.after_fork()
        self._blocks.after_fork()
        self._embedding, self._background = threading.Lock(), None

    def _gate(self) -> Kernel:
        if self._kernel is None:
            raise ConfigError("the embedder's model is to be served by a kernel, and this memory is in none")
        return self._kernel

    def close(self) -> None:
        """Take no more calls, and close the store if it was opened here."""
        super().close()
        background = self._background
        if background is not None and background is not threading.current_thread():
            background.join(LEAVE)
        if self._owns:
            self.store.close()

    def _check(self, process: Process, verb: str, owner: str) -> None:
        if owner == owner_of(process.name):
            return
        if self.allowed is None or not self.allowed(process, f"memory.{verb}", f"memory:{owner}"):
            done = "read" if verb in READING else "change"
            raise AccessDenied(f"agent {process.name!r} may not {done} the memory of {owner!r} (memory.{verb})")

    def _look_for_old_vectors(self) -> None:
        """Start embedding in the background, once, and again after an embedder that failed works again."""
        if self._looked and not self._hybrid.recovered:
            return
        with self._lock:
            if self._closed or (self._background is not None and self._background.is_alive()):
                return
            self._looked, self._hybrid.recovered = True, False
            # A thread, because an embedder elsewhere may take long for many notes.
            self._background = threading.Thread(target=self._embed_old, name=f"aios-{self.name}-embed", daemon=True)
            self._background.start()

    def _embed_old(self) -> None:
        try:
            self.catch_up(self._progress)
        except Exception:
            if not self._closed:
                log.exception("notes could not be embedded: they are found by their words until the next start")


def _this_call(process: Process) -> str:
    """The call that is being served, as process and number of arrival: what its events are named by."""
    inside = open_tasks.get()
    return f"{process.pid}:{getattr(inside[-1], 'seq', 0)}" if inside else ""


def _is_memory(collection: str) -> bool:
    return collection.startswith(PREFIX)
