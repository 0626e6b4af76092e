"""The storage manager: storage calls of agents, served from one directory of the host."""

from __future__ import annotations

import sqlite3
import time
from typing import TYPE_CHECKING, Any, ClassVar

from aios_kernel.abi import Agent, StorageCall
from aios_kernel.errors import ConfigError, StorageError, SyscallError
from aios_kernel.managers import Manager
from aios_kernel.storage.arguments import Arguments
from aios_kernel.storage.paths import parts_of
from aios_kernel.storage.plain import export_files, import_files
from aios_kernel.storage.roots import declared_groups
from aios_kernel.storage.store import Store
from aios_kernel.storage.verbs import VERBS

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Iterable, Mapping

    from aios_kernel.abi import Call
    from aios_kernel.process import Process
    from aios_kernel.storage.files import Point
    from aios_kernel.store.base import SearchIndex

__all__ = ["StorageManager"]


class StorageManager(Manager):
    """Serve storage calls from one directory of the host, `base`.

    An agent has a root by its name, and each of its `groups` (by default the one its program declares) has one.
    `mounts` names directories of the host that may be read; `allow(agent, right, root, path)` may decide about
    rights before the rules do. The newest `keep` versions of each file are kept, and the histories of the
    `keep_deleted` files of each root that were deleted last. Without `fsync`, acknowledged writes outlive the
    process, but not a power failure. `hook` is called with the names of `files.POINTS`.
    """

    kind: ClassVar[str] = "storage"
    kinds: ClassVar[frozenset[str]] = frozenset({"storage"})

    def __init__(
        self,
        base: str | os.PathLike[str],
        *,
        name: str = "storage",
        keep: int = 20,
        keep_deleted: int = 100,
        max_bytes: int = 64 * 2**20,
        mounts: Mapping[str, str | os.PathLike[str]] | None = None,
        groups: Callable[[Agent], Iterable[str]] = declared_groups,
        allow: Callable[[Agent, str, str, str], bool | None] | None = None,
        index: SearchIndex | None = None,
        clock: Callable[[], float] = time.time,
        fsync: bool = True,
        hook: Callable[[Point], None] | None = None,
        workers: int = 8,
    ) -> None:
        super().__init__(name, workers=workers)
        if keep < 1 or keep_deleted < 0 or max_bytes < 0:
            raise ConfigError("keep is at least 1; keep_deleted and max_bytes are at least 0")
        self.store = Store(
            base,
            keep=keep,
            keep_deleted=keep_deleted,
            max_bytes=max_bytes,
            mounts=mounts or {},
            groups=groups,
            allow=allow,
            index=index,
            clock=clock,
            fsync=fsync,
            hook=hook or (lambda _: None),
        )

    def handle(self, call: Call, process: Process) -> Any:
        """Do one storage call for an agent."""
        if not isinstance(call, StorageCall):
            raise StorageError(f"a {call.kind} call is not a storage call")
        return self.perform(process.agent, call.verb, call.arguments)

    def perform(self, agent: Agent, verb: str, arguments: Mapping[str, Any] | None = None) -> Any:
        """Do one verb for an agent, in this thread."""
        found = VERBS.get(verb)
        if found is None:
            raise StorageError(f"storage has no verb {verb!a}. Known: {', '.join(sorted(VERBS))}")
        work, known = found
        with self.store.used():
            try:
                return work(self.store, agent, Arguments(verb, arguments or {}, known))
            except SyscallError:  # some are OSErrors too
                raise
            except (OSError, sqlite3.Error) as error:
                raise StorageError(f"storage {verb} failed: {getattr(error, 'strerror', None) or error}") from error

    def exists(self, call: Call, agent: str) -> bool:
        """Whether a storage call of an agent's meets a file where it goes, for whoever has to approve overwriting."""
        given: Mapping[str, Any] = call.arguments if isinstance(call, StorageCall) else {}
        with self.store.used():
            try:
                root = self.store.roots.find(Agent(name=agent), given.get("root") or "")
                with self.store.roots.jail(root) as jail:
                    return jail.look(parts_of(given.get("path"))) is not None
            except SyscallError:  # the call is going to be refused; nobody is to approve it unseen
                return True

    def wait_for_index(self, timeout: float | None = None) -> bool:
        """Wait until an index that was lost or behind when the store was opened is filled; whether it is."""
        return self.store.wait_for_index(timeout)

    def import_files(self, root: str, source: str | os.PathLike[str], path: str = "") -> dict[str, Any]:
        """Write the plain files below a directory of the host into a root ("agent:NAME", "group:NAME"); for operators."""
        with self.store.used():
            return import_files(self.store, self.store.roots.named(root), source, parts_of(path, root=True))

    def export_files(self, root: str, destination: str | os.PathLike[str], path: str = "") -> dict[str, Any]:
        """Write a root's files, as they are now, into a directory of the host; for operators."""
        with self.store.used():
            return export_files(self.store, self.store.roots.named(root), parts_of(path, root=True), destination)

    def after_fork(self) -> None:
        """Forget the parent's threads and connections."""
        super().after_fork()
        self.store.after_fork()

    def close(self) -> None:
        """Take no more calls; the store closes after those under way."""
        super().close()
        self.store.close()
