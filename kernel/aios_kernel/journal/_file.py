"""The journal's file: one SQLite table in WAL mode, written by one thread in groups, so that many calls share one fsync."""

from __future__ import annotations

import contextlib
import os
import sqlite3
import threading
import time
from collections import deque
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from aios_kernel.connections import Connections
from aios_kernel.errors import JournalError
from aios_kernel.serving import running_loop, wake_future

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable, Generator, Iterator

__all__ = ["File", "Row", "Ticket"]

VERSION = 1
SCHEMA = f"""
CREATE TABLE IF NOT EXISTS records (
    id INTEGER PRIMARY KEY, agent TEXT NOT NULL, hash TEXT NOT NULL, n INTEGER NOT NULL, kind TEXT NOT NULL,
    label TEXT NOT NULL, request TEXT NOT NULL, answer TEXT NOT NULL, time REAL NOT NULL, UNIQUE (agent, hash, n)
);
PRAGMA user_version = {VERSION};
"""
COLUMNS = "id, agent, hash, n, kind, label, request, answer, time"
#: The number is found as the row is written: another process may have written to the same journal.
INSERT = """
INSERT INTO records (agent, hash, n, kind, label, request, answer, time)
SELECT :agent, :hash, 1 + coalesce(max(n), 0), :kind, :label, :request, :answer, :time
FROM records WHERE agent = :agent AND hash = :hash
"""


@dataclass(frozen=True, slots=True)
class Row:
    """One answered call: whose it was, the hash and the number of its request, and both as JSON text."""

    id: int
    agent: str
    hash: str
    n: int
    kind: str
    label: str
    request: str
    answer: str
    time: float


class Ticket:
    """One row on its way to the disk; whoever waits for it may acknowledge the call once it has come."""

    __slots__ = ("_done", "_lock", "_wake", "_writing", "error", "row")

    def __init__(self, row: Row, writing: threading.local) -> None:
        self.row, self._writing = row, writing
        self.error: BaseException | None = None
        self._done = False
        self._lock = threading.Lock()
        self._wake: Callable[[], object] | None = None

    def end(self, error: BaseException | None) -> None:
        """Wake who waits."""
        with self._lock:
            self.error, self._done = error, True
            wake = self._wake
        if wake is not None:
            wake()

    def wait(self) -> None:
        """Wait in this thread; raises `JournalError` where the row could not be written."""
        if getattr(self._writing, "depth", 0):
            return  # a stream is collected while this very thread writes: nobody waits for it, and its row comes next
        woken = threading.Event()
        if not self._waits(woken.set):
            woken.wait()
        self._check()

    async def await_(self) -> None:
        """Wait in this event loop."""
        loop = running_loop()
        woken: asyncio.Future[None] = loop.create_future()
        if not self._waits(lambda: wake_future(loop, woken)):
            await woken
        self._check()

    def _waits(self, wake: Callable[[], object]) -> bool:
        with self._lock:
            self._wake = wake
            return self._done

    def _check(self) -> None:
        if self.error is not None:
            raise JournalError(f"the journal could not be written: {self.error}") from self.error


def _no_crash(point: str) -> None:
    """Go on; tests end the process here instead."""


class File:
    """Rows in one SQLite file. Reads happen in the caller's thread, writes in one thread of the file's own.

    A row is acknowledged, by its ticket, after the commit that holds it has been synced to the disk. `crash_point` is called
    at named moments. Raises `JournalError` for a file that is no journal or cannot be opened.
    """

    def __init__(
        self, path: Path, *, empty: bool = False, readonly: bool = False, crash_point: Callable[[str], None] = _no_crash
    ) -> None:
        self.path, self._readonly, self._crash_point = path, readonly, crash_point
        self._connections = Connections(path, _set_up, patience=30)
        self._closed = False
        self._start()
        self._prepare()
        if empty:
            with self._connections.use() as connection:
                connection.execute("DELETE FROM records")

    def _start(self) -> None:
        self._changed, self._writing = threading.Condition(), threading.local()
        self._pending: deque[Ticket] = deque()
        self._thread: threading.Thread | None = None

    def renew(self) -> None:
        """Begin afresh in a forked child."""
        self._start()

    def find(self, agent: str, hash_: str, n: int) -> Row | None:
        """The row of a request's n-th call."""
        found = self._read(f"SELECT {COLUMNS} FROM records WHERE agent = ? AND hash = ? AND n = ?", agent, hash_, n)  # noqa: S608
        return found[0] if found else None

    def rows(self, agent: str | None = None, kind: str | None = None) -> Iterator[Row]:
        """Rows in the order in which they were acknowledged."""
        yield from self._read(
            f"SELECT {COLUMNS} FROM records WHERE agent = coalesce(?, agent) AND kind = coalesce(?, kind) ORDER BY id",  # noqa: S608
            agent,
            kind,
        )

    def write(self, row: Row) -> Ticket:
        """Queue a row; its ticket tells when it is on the disk."""
        ticket = Ticket(row, self._writing)
        with self._at_writing(), self._changed:
            if self._closed:
                raise JournalError(f"the journal {self.path} is closed")
            self._pending.append(ticket)
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="aios-journal", daemon=True)
                self._thread.start()
            self._changed.notify()
        return ticket

    def close(self) -> None:
        """Write what is pending, and close; idempotent."""
        with self._changed:
            self._closed = True
            self._changed.notify()
        if self._thread is not None:
            self._thread.join(timeout=30)
        self._connections.close()

    def _read(self, query: str, *values: object) -> list[Row]:
        try:
            with self._connections.use() as connection:
                return [Row(*row) for row in connection.execute(query, values)]
        except sqlite3.Error as error:
            raise JournalError(f"the journal {self.path} cannot be read: {error}") from error

    def _run(self) -> None:
        """Take all that has gathered while the last group was synced, and write it as one group."""
        with self._at_writing():
            self._write_groups()

    @contextlib.contextmanager
    def _at_writing(self) -> Generator[None, None, None]:
        """Note that this thread is where rows are written: garbage may be collected in it, and must not wait for it."""
        self._writing.depth = getattr(self._writing, "depth", 0) + 1
        try:
            yield
        finally:
            self._writing.depth -= 1

    def _write_groups(self) -> None:
        while True:
            with self._changed:
                while not self._pending and not self._closed:
                    self._changed.wait()
                group, self._pending = list(self._pending), deque()
            if not group:
                break
            self._commit(group)

    def _commit(self, group: list[Ticket]) -> None:
        error: BaseException | None = None
        try:
            with self._connections.use() as connection:
                connection.execute("BEGIN IMMEDIATE")
                for ticket in group:
                    connection.execute(
                        INSERT, {name: getattr(ticket.row, name) for name in Row.__slots__ if name not in {"id", "n"}}
                    )
                self._crash_point("before commit")
                connection.execute("COMMIT")
            self._crash_point("after commit")
        except Exception as failure:  # noqa: BLE001 - whoever waits has to be told
            error = failure
        for ticket in group:
            ticket.end(error)

    def _prepare(self) -> None:
        if self._readonly and not self.path.exists():
            raise JournalError(f"there is no journal {self.path}")
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            if not self.path.exists():  # what was asked and answered is its owner's alone
                os.close(os.open(self.path, os.O_CREAT | os.O_RDWR, 0o600))
            with self._connections.use() as connection:
                (version,) = connection.execute("PRAGMA user_version").fetchone()
                if version == 0 and not connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]:
                    connection.executescript(SCHEMA)
                elif version != VERSION:
                    raise JournalError(f"{self.path} is no journal of this version (it says {version}, not {VERSION})")
        except (sqlite3.Error, OSError) as error:
            raise JournalError(
                f"the journal {self.path} cannot be opened: {error}; move it away to begin anew"
            ) from error


def _set_up(connection: sqlite3.Connection) -> None:
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = FULL")


def row_for(agent: str, hash_: str, kind: str, label: str, request: str, answer: str) -> Row:
    """A row that is still to be written."""
    return Row(0, agent, hash_, 0, kind, label, request, answer, time.time())
