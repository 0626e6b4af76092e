"""Connections to SQLite files that no fork carries over: SQLite forbids it, and a child would wait for its locks forever."""

from __future__ import annotations

import contextlib
import os
import sqlite3
import threading
import weakref
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

__all__ = ["Connections", "at_work"]

#: Seconds that a fork waits for threads which are at work in SQLite.
PATIENCE = 10.0


class _Works:
    """The threads that are at work in SQLite, for which a fork waits.

    SQLite's memory allocator, page cache and list of open files have locks of their own that no fork hook of SQLite's
    renews: a child that is forked while another thread holds one hangs at its first use of SQLite.
    """

    def __init__(self) -> None:
        self._changed = threading.Condition(threading.Lock())
        self._mine = threading.local()
        self._at_work = 0
        self._forks = 0

    def begin(self) -> None:
        depth: int = getattr(self._mine, "depth", 0)
        if not depth:
            with self._changed:
                if self._forks:
                    self._changed.wait_for(lambda: not self._forks, PATIENCE)
                self._at_work += 1
        self._mine.depth = depth + 1

    def end(self) -> None:
        self._mine.depth -= 1
        if not self._mine.depth:
            with self._changed:
                self._at_work -= 1
                if self._forks:
                    self._changed.notify_all()

    def hold(self) -> None:
        """Let nobody else begin, and wait until nobody else is at work; not longer than `PATIENCE`."""
        self.begin()
        with self._changed:
            self._forks += 1
            self._changed.wait_for(lambda: self._at_work <= self._forks, PATIENCE)

    def go_on(self) -> None:
        self.end()
        with self._changed:
            self._forks -= 1
            self._changed.notify_all()


_works = _Works()


@contextlib.contextmanager
def at_work() -> Generator[None, None, None]:
    """Let no fork happen during a block that uses SQLite."""
    works = _works
    works.begin()
    try:
        yield
    finally:
        if works is _works:  # else the block itself forked, and this is the child
            works.end()


class Connections:
    """Connections of this process to one file, each used by one thread at a time.

    `prepare(connection)` is called with each new one. What is idle is closed before the process forks, so that parent and child
    both open their own: a connection that came through a fork has locks that only the parent holds.
    Raises SQLite's own errors, after which the connection is not used again.
    """

    def __init__(
        self, path: str | os.PathLike[str], prepare: Callable[[sqlite3.Connection], None], *, patience: float
    ) -> None:
        self._path, self._prepare, self._patience = path, prepare, patience
        self._idle: list[sqlite3.Connection] = []
        self.closed = False
        _open.add(self)

    @contextlib.contextmanager
    def use(self) -> Generator[sqlite3.Connection, None, None]:
        """Have a connection for a block; a transaction that the block leaves open is rolled back."""
        works = _works
        with at_work():
            if self.closed:
                raise sqlite3.ProgrammingError("cannot operate on a closed database")
            connection = self._taken() or self._made()
            try:
                yield connection
            except BaseException as error:
                self._give_back(connection, works, broken=isinstance(error, sqlite3.Error))
                raise
            self._give_back(connection, works)

    def close(self) -> None:
        """Close what is idle, and the rest as it comes back; idempotent."""
        self.closed = True
        self.close_idle()

    def close_idle(self) -> None:
        """Close what nobody uses; it is opened again when it is needed."""
        with at_work():
            while (connection := self._taken()) is not None:
                connection.close()

    def _taken(self) -> sqlite3.Connection | None:
        try:
            return self._idle.pop()  # without a lock, which a fork could leave locked: a list's own steps are whole
        except IndexError:
            return None

    def _made(self) -> sqlite3.Connection:
        connection = sqlite3.connect(self._path, timeout=self._patience, isolation_level=None, check_same_thread=False)
        try:
            self._prepare(connection)
        except BaseException:
            connection.close()
            raise
        return connection

    def _give_back(self, connection: sqlite3.Connection, works: _Works, *, broken: bool = False) -> None:
        if works is not _works:  # the block forked: it is the parent's, and must not even be closed here
            _inherited.append(connection)
            return
        if broken:
            connection.close()
            return
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        self._idle.append(connection)
        if self.closed:
            self.close_idle()


_inherited: list[sqlite3.Connection] = []
_open: weakref.WeakSet[Connections] = weakref.WeakSet()


def _before() -> None:
    _works.hold()
    with contextlib.suppress(sqlite3.Error):
        for connections in list(_open):
            connections.close_idle()


def _in_parent() -> None:
    _works.go_on()


def _in_child() -> None:
    global _works  # noqa: PLW0603 - its locks are those of threads that do not exist here
    _works = _Works()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_before, after_in_parent=_in_parent, after_in_child=_in_child)
