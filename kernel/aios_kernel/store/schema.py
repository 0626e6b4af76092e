"""How records lie in SQLite, and a pool of connections to the file that survives threads and forks."""

from __future__ import annotations

import contextlib
import os
import sqlite3
import threading
from typing import TYPE_CHECKING, Any, Literal

from aios_kernel.errors import StoreError

if TYPE_CHECKING:
    from collections.abc import Generator

__all__ = ["LAYOUT", "Connections", "Durability"]

#: "process": survives the death of the program at any moment. "power": also that of the machine, at ten times the price.
Durability = Literal["process", "power"]
LAYOUT = 1
OLDEST = (3, 35)  # for RETURNING
PATIENCE = 60.0  # seconds to wait for another process's write
# `home` is a word that only the texts of one collection have, so that a search touches no other collection's.
SCHEMA = """
CREATE TABLE IF NOT EXISTS collections (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE);
CREATE TABLE IF NOT EXISTS counters (name TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID;
INSERT OR IGNORE INTO counters VALUES ('stamp', 0), ('forgotten', 0), ('identity', abs(random() / 2));
CREATE TABLE IF NOT EXISTS records (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    collection INTEGER NOT NULL REFERENCES collections (id),
    id TEXT NOT NULL,
    text TEXT NOT NULL,
    metadata TEXT NOT NULL,
    version INTEGER NOT NULL,
    stamp INTEGER NOT NULL UNIQUE,
    space TEXT NOT NULL,
    vector BLOB,
    home TEXT GENERATED ALWAYS AS ('c' || collection) VIRTUAL,
    UNIQUE (collection, id)
);
CREATE INDEX IF NOT EXISTS records_changed ON records (collection, stamp);
CREATE INDEX IF NOT EXISTS records_spaces ON records (collection, space);
CREATE TABLE IF NOT EXISTS removed (
    stamp INTEGER PRIMARY KEY, number INTEGER NOT NULL, collection INTEGER NOT NULL, id TEXT NOT NULL
);
CREATE INDEX IF NOT EXISTS removed_changed ON removed (collection, stamp);
CREATE VIRTUAL TABLE IF NOT EXISTS texts USING fts5 (
    text, home, content = 'records', content_rowid = 'number', tokenize = 'porter unicode61'
);
CREATE TRIGGER IF NOT EXISTS records_new AFTER INSERT ON records BEGIN
    INSERT INTO texts (rowid, text, home) VALUES (new.number, new.text, 'c' || new.collection);
END;
CREATE TRIGGER IF NOT EXISTS records_gone AFTER DELETE ON records BEGIN
    INSERT INTO texts (texts, rowid, text, home) VALUES ('delete', old.number, old.text, 'c' || old.collection);
END;
CREATE TRIGGER IF NOT EXISTS records_other AFTER UPDATE OF text ON records WHEN old.text IS NOT new.text BEGIN
    INSERT INTO texts (texts, rowid, text, home) VALUES ('delete', old.number, old.text, 'c' || old.collection);
    INSERT INTO texts (rowid, text, home) VALUES (new.number, new.text, 'c' || new.collection);
END;
"""

_inherited: list[Any] = []  # a parent process's connections: closing one here would drop the parent's locks


class Connections:
    """Connections of this process to one file, each used by one thread at a time."""

    def __init__(self, path: str, durability: Durability) -> None:
        if sqlite3.sqlite_version_info < OLDEST:
            raise StoreError(f"the store needs SQLite 3.35 or later; this Python has {sqlite3.sqlite_version}")
        self._path, self._durability = path, durability
        self._idle: list[sqlite3.Connection] = []
        self._lock = threading.Lock()
        self._pid = os.getpid()
        self.closed = False
        with self.use() as connection:
            self._prepare(connection)

    @contextlib.contextmanager
    def use(self) -> Generator[sqlite3.Connection, None, None]:
        """Have a connection for a block; SQLite's own errors become `StoreError`."""
        if self._pid != os.getpid():
            self.after_fork()
        with self._lock:
            if self.closed:
                raise StoreError(f"the store {self._path} is closed")
            connection = self._idle.pop() if self._idle else None
        try:
            connection = connection or self._open()
            yield connection
        except (sqlite3.Error, UnicodeEncodeError) as error:
            if connection is not None:
                connection.close()
            raise StoreError(f"the store {self._path} failed: {error}") from error
        except BaseException:
            if connection is not None:
                self._give_back(connection)
            raise
        else:
            self._give_back(connection)

    @contextlib.contextmanager
    def write(self) -> Generator[sqlite3.Connection, None, None]:
        """Have a connection for a block that is one transaction."""
        with self.use() as connection:
            connection.execute("BEGIN IMMEDIATE")
            try:
                yield connection
            except BaseException:
                if connection.in_transaction:
                    connection.execute("ROLLBACK")
                raise
            connection.execute("COMMIT")

    def after_fork(self) -> None:
        """Forget the parent's connections without closing them."""
        _inherited.extend(self._idle)
        self._idle, self._lock, self._pid = [], threading.Lock(), os.getpid()

    def close(self) -> None:
        """Close what is idle, and the rest as it comes back."""
        with self._lock:
            self.closed, idle, self._idle = True, self._idle, []
        for connection in idle:
            connection.close()

    def _give_back(self, connection: sqlite3.Connection) -> None:
        with self._lock:
            if not self.closed:
                self._idle.append(connection)
                return
        connection.close()

    def _open(self) -> sqlite3.Connection:
        connection = sqlite3.connect(self._path, timeout=PATIENCE, isolation_level=None, check_same_thread=False)
        try:
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute(f"PRAGMA synchronous = {'FULL' if self._durability == 'power' else 'NORMAL'}")
            connection.execute("PRAGMA journal_size_limit = 16777216")
        except BaseException:
            connection.close()
            raise
        return connection

    def _prepare(self, connection: sqlite3.Connection) -> None:
        layout = connection.execute("PRAGMA user_version").fetchone()[0]
        if layout > LAYOUT:
            raise StoreError(f"{self._path} was written by a newer version of this package (layout {layout})")
        if layout < LAYOUT:
            connection.executescript(f"BEGIN IMMEDIATE; {SCHEMA} PRAGMA user_version = {LAYOUT}; COMMIT;")
