"""The manager's SQLite database: one writer at a time, commits shared by those who wait, readers that wait for nobody."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from aios_kernel.connections import Connections
from aios_kernel.errors import KernelClosed, StorageError
from aios_kernel.storage.jail import private

if TYPE_CHECKING:
    from collections.abc import Generator

__all__ = ["Database"]

T = TypeVar("T")
BUSY = 60.0  # seconds to wait for another process's transaction
LOG_BYTES = 16 * 2**20  # that the write-ahead log keeps of the disk when it is empty again
FORMAT = 1
SCHEMA = """
CREATE TABLE IF NOT EXISTS roots (
    id INTEGER PRIMARY KEY, kind TEXT NOT NULL, name TEXT NOT NULL, folder TEXT NOT NULL, UNIQUE (kind, name));
CREATE TABLE IF NOT EXISTS files (
    id INTEGER PRIMARY KEY AUTOINCREMENT, root INTEGER NOT NULL, path TEXT NOT NULL, version INTEGER NOT NULL,
    deleted INTEGER NOT NULL, signature TEXT NOT NULL, pending INTEGER NOT NULL, indexed INTEGER NOT NULL DEFAULT 0,
    UNIQUE (root, path));
CREATE INDEX IF NOT EXISTS files_pending ON files (pending) WHERE pending;
CREATE INDEX IF NOT EXISTS files_stale ON files (id) WHERE indexed != version;
CREATE TABLE IF NOT EXISTS versions (
    file INTEGER NOT NULL, number INTEGER NOT NULL, sha TEXT, size INTEGER NOT NULL, time REAL NOT NULL,
    agent TEXT NOT NULL, how TEXT NOT NULL, source INTEGER, PRIMARY KEY (file, number)) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS versions_sha ON versions (sha);
CREATE TABLE IF NOT EXISTS shares (
    id TEXT PRIMARY KEY, root INTEGER NOT NULL, path TEXT NOT NULL, grantee TEXT NOT NULL, rights TEXT NOT NULL,
    expires REAL, agent TEXT NOT NULL, created REAL NOT NULL);
CREATE INDEX IF NOT EXISTS shares_root ON shares (root, grantee);
CREATE TABLE IF NOT EXISTS collections (
    owner TEXT NOT NULL, name TEXT NOT NULL, root INTEGER NOT NULL, path TEXT NOT NULL, PRIMARY KEY (owner, name));
"""


class _Job(Generic[T]):
    """One piece of work of a transaction, and how it ended."""

    __slots__ = ("done", "durable", "error", "value", "work")

    def __init__(self, work: Callable[[sqlite3.Connection], T], *, durable: bool) -> None:
        self.work = work
        self.durable = durable
        self.done = False
        self.value: T | None = None
        self.error: BaseException | None = None


class Database:
    """A database that several threads and processes share.

    `transact` returns once the work is on the disk. Work that waits while a transaction commits goes into the next
    one together, so that many writers do not pay for a commit each.
    """

    def __init__(self, path: str, *, fsync: bool) -> None:
        self._path = path
        self._fsync = fsync
        self._connections = Connections(path, _set_up, patience=BUSY)
        self._begin()
        private(path)  # what SQLite puts beside it is like it
        try:
            self._create()
        except sqlite3.DatabaseError as error:
            self.close()
            raise StorageError(f"the database {path!r} cannot be opened: {error}. Restore it from a backup") from error
        except BaseException:
            self.close()
            raise

    def _begin(self) -> None:
        self._writing = threading.Lock()
        self._queue_lock = threading.Lock()
        self._queue: list[_Job[Any]] = []

    @contextmanager
    def reading(self) -> Generator[sqlite3.Connection, None, None]:
        """Lend a connection for reads."""
        if self._connections.closed:
            raise KernelClosed("the storage manager is closed")
        with self._connections.use() as connection:
            yield connection

    def rows(self, query: str, *values: Any) -> list[sqlite3.Row]:
        """What a query finds."""
        with self.reading() as connection:
            return connection.execute(query, values).fetchall()

    def row(self, query: str, *values: Any) -> sqlite3.Row | None:
        """The first row a query finds."""
        found = self.rows(query, *values)
        return found[0] if found else None

    def transact(self, work: Callable[[sqlite3.Connection], T], *, durable: bool = True) -> T:
        """Do the work in a transaction: all of it or nothing. One that is not `durable` may be undone by a power failure."""
        job = _Job(work, durable=durable)
        with self._queue_lock:
            self._queue.append(job)
        with self._writing:
            if not job.done:
                self._commit()
        if job.error is not None:
            raise job.error
        return job.value  # pyright: ignore[reportReturnType]

    def close(self) -> None:
        """Close every connection."""
        with self._writing:
            self._connections.close()

    def after_fork(self) -> None:
        """Have locks of this process's own; what waited to be written is the parent's to write."""
        self._begin()

    def _commit(self) -> None:
        """Do everything that waits in one transaction; the caller holds the right to write."""
        with self._queue_lock:
            jobs, self._queue = self._queue, []
        try:
            with self.reading() as writer:
                durable = self._fsync and any(job.durable for job in jobs)
                writer.execute(f"PRAGMA synchronous = {'FULL' if durable else 'NORMAL'}")
                writer.execute("BEGIN IMMEDIATE")
                for job in jobs:
                    _run(writer, job)
                writer.execute("COMMIT")
        except BaseException as error:
            failure = StorageError(f"the database failed: {error}") if isinstance(error, sqlite3.Error) else error
            for job in jobs:
                job.error = failure
            if not isinstance(error, Exception):
                raise
        finally:
            for job in jobs:
                job.done = True

    def _create(self) -> None:
        with self._connections.use() as connection:
            connection.execute("PRAGMA journal_mode = WAL")
            found = connection.execute("PRAGMA user_version").fetchone()[0]
            if found > FORMAT:
                raise StorageError(f"the database {self._path!r} was written by a later release (format {found})")
            if found < FORMAT:
                connection.executescript(f"BEGIN IMMEDIATE; {SCHEMA} PRAGMA user_version = {FORMAT}; COMMIT;")


def _set_up(connection: sqlite3.Connection) -> None:
    connection.row_factory = sqlite3.Row
    connection.execute(f"PRAGMA journal_size_limit = {LOG_BYTES}")


def _run(connection: sqlite3.Connection, job: _Job[Any]) -> None:
    """One job, undone alone where it fails."""
    connection.execute("SAVEPOINT job")
    try:
        job.value = job.work(connection)
    except Exception as error:  # noqa: BLE001 - raised where the job was given
        connection.execute("ROLLBACK TO job")
        job.error = error
    connection.execute("RELEASE job")
