"""How records lie in SQLite, and the file they lie in."""

from __future__ import annotations

import contextlib
import sqlite3
from typing import TYPE_CHECKING, Literal

from aios_kernel.connections import Connections
from aios_kernel.errors import StoreError

if TYPE_CHECKING:
    from collections.abc import Generator

__all__ = ["LAYOUT", "Durability", "RecordFile"]

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


class RecordFile:
    """The SQLite file of a store."""

    def __init__(self, path: str, durability: Durability) -> None:
        if sqlite3.sqlite_version_info < OLDEST:
            raise StoreError(f"the store needs SQLite 3.35 or later; this Python has {sqlite3.sqlite_version}")
        self._path, self._durability = path, durability
        self._connections = Connections(path, self._set_up, patience=PATIENCE)
        with self.use() as connection:
            self._prepare(connection)

    @contextlib.contextmanager
    def use(self) -> Generator[sqlite3.Connection, None, None]:
        """Have a connection for a block; SQLite's own errors become `StoreError`."""
        if self._connections.closed:
            raise StoreError(f"the store {self._path} is closed")
        try:
            with self._connections.use() as connection:
                yield connection
        except (sqlite3.Error, UnicodeEncodeError) as error:
            raise StoreError(f"the store {self._path} failed: {error}") from error

    @contextlib.contextmanager
    def write(self) -> Generator[sqlite3.Connection, None, None]:
        """Have a connection for a block that is one transaction."""
        with self.use() as connection:
            connection.execute("BEGIN IMMEDIATE")
            yield connection
            connection.execute("COMMIT")

    def close(self) -> None:
        """Close what is idle, and the rest as it comes back."""
        self._connections.close()

    def _set_up(self, connection: sqlite3.Connection) -> None:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute(f"PRAGMA synchronous = {'FULL' if self._durability == 'power' else 'NORMAL'}")
        connection.execute("PRAGMA journal_size_limit = 16777216")

    def _prepare(self, connection: sqlite3.Connection) -> None:
        layout = connection.execute("PRAGMA user_version").fetchone()[0]
        if layout > LAYOUT:
            raise StoreError(f"{self._path} was written by a newer version of this package (layout {layout})")
        if layout < LAYOUT:
            connection.executescript(f"BEGIN IMMEDIATE; {SCHEMA} PRAGMA user_version = {LAYOUT}; COMMIT;")
