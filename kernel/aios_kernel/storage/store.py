"""One store: a directory with its database, contents and roots, opened and put in order after whatever happened."""

from __future__ import annotations

import sqlite3
import threading
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from aios_kernel.errors import FileMissing, KernelClosed, SyscallError
from aios_kernel.logs import logger
from aios_kernel.storage.database import Database
from aios_kernel.storage.files import Files
from aios_kernel.storage.index import Indexer, KeywordIndex
from aios_kernel.storage.locks import Locks
from aios_kernel.storage.objects import Objects
from aios_kernel.storage.paths import parts_of
from aios_kernel.storage.records import Records
from aios_kernel.storage.roots import Roots
from aios_kernel.storage.shares import Shares
from aios_kernel.storage.staging import Staging

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Generator, Iterable, Mapping, Sequence

    from aios_kernel.abi import Agent
    from aios_kernel.storage.files import Point
    from aios_kernel.storage.records import Entry
    from aios_kernel.store.base import SearchIndex

__all__ = ["Store"]

log = logger(__name__)


class Store:
    """Everything below one directory; several processes may have it open."""

    def __init__(
        self,
        base: str | os.PathLike[str],
        *,
        keep: int,
        keep_deleted: int,
        max_bytes: int,
        mounts: Mapping[str, str | os.PathLike[str]],
        groups: Callable[[Agent], Iterable[str]],
        allow: Callable[[Agent, str, str, str], bool | None] | None,
        index: SearchIndex | None,
        clock: Callable[[], float],
        fsync: bool,
        hook: Callable[[Point], None],
    ) -> None:
        self.base = Path(base).resolve()
        self.base.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._users = 0
        self._closing = False
        self._guard = threading.Lock()
        self.locks = Locks(str(self.base / "locks"))
        with self.locks.hold("open"):  # of several processes, one makes and mends
            self.database = Database(str(self.base / "storage.db"), fsync=fsync)
            self.staging = Staging(self.base / "staging", self.locks, fsync=fsync)
            self.objects = Objects(self.base / "objects", self.staging, self.locks, fsync=fsync)
            self.roots = Roots(self.base, self.database, mounts, groups, fsync=fsync)
            self._own_index = KeywordIndex(str(self.base / "index.db")) if index is None else None
            self.index: SearchIndex = self._own_index or index  # pyright: ignore[reportAttributeAccessIssue]
            self.records = Records(self.database, keep=keep, keep_deleted=keep_deleted)
            self.indexer = Indexer(self.index, self.records)
            self.shares = Shares(self.database, self.roots, clock, allow)
            self.files = Files(
                records=self.records,
                objects=self.objects,
                staging=self.staging,
                locks=self.locks,
                jail=self.roots.jail,
                clock=clock,
                hook=hook,
                changed=self.indexer.changed,
                max_bytes=max_bytes,
            )
            self._mend()
        # A lost index takes its time to be filled; the files do not wait for it.
        stale = self.records.stale()
        self._filling = threading.Thread(target=self._fill_index, args=(stale,), name="aios-storage-index", daemon=True)
        if stale:
            self._filling.start()

    def wait_for_index(self, timeout: float | None = None) -> bool:
        """Wait until the index knows what it did not when the store was opened; whether it does."""
        if self._filling.ident is not None:
            self._filling.join(timeout)
        return not self._filling.is_alive()

    @contextmanager
    def used(self) -> Generator[None, None, None]:
        """Keep the store open for the block."""
        with self._guard:
            if self._closing:
                raise KernelClosed("the storage manager is closed")
            self._users += 1
        try:
            yield
        finally:
            with self._guard:
                self._users -= 1
                last = self._closing and not self._users
            if last:
                self._close()

    def close(self) -> None:
        """Close once nobody uses it; idempotent."""
        with self._guard:
            first, self._closing = not self._closing, True
            last = first and not self._users
        if last:
            self._close()

    def after_fork(self) -> None:
        """Go on in a forked child, with nothing of the parent's that cannot be shared."""
        self._guard, self._users = threading.Lock(), 0
        self._filling = threading.Thread()
        self.locks.after_fork()
        self.database.after_fork()
        self.staging.after_fork()
        for renew in filter(None, [getattr(self.index, "after_fork", None)]):
            renew()

    def _close(self) -> None:
        self.staging.close()
        self.roots.close()
        self.database.close()
        if self._own_index is not None:
            self._own_index.close()

    def _mend(self) -> None:
        """Finish or undo what a process that died left."""
        self.staging.clean()
        for entry in self.records.pending():
            root = self.roots.by_id(entry.root)
            if root is not None:
                try:
                    self.files.mend(root, parts_of(entry.path))
                except SyscallError:  # somebody put something else in the way: the next call that comes by says so
                    continue
        used = self.records.contents()
        for sha in self.objects:
            if sha not in used:
                self.objects.collect(sha, self.records.used, wait=False)
        self.shares.sweep()
        if getattr(self.index, "fresh", False):
            self.records.forget_index()

    def _fill_index(self, stale: Sequence[Entry]) -> None:
        """Have the index know what it does not, until the store is closed."""
        for entry in stale:
            try:
                with self.used():
                    self._show_index(entry)
            except KernelClosed:
                return
            except (SyscallError, OSError, sqlite3.Error) as error:  # it stays as it is until the next opening
                log.warning("%r could not be indexed: %s", entry.path, error)

    def _show_index(self, entry: Entry) -> None:
        root = self.roots.by_id(entry.root)
        if root is None:
            return
        parts = parts_of(entry.path)
        if root.kind != "mount":
            self.files.show_index(root, parts)
            return
        data: bytes | None = None
        if not entry.deleted:
            with suppress(FileMissing), self.roots.jail(root) as jail:
                data = jail.read(parts, self.files.max_bytes)[0]
        self.indexer.changed(root, entry, data)
