"""Search in files: the default index, full text in SQLite, and what keeps any index up to date."""

from __future__ import annotations

import json
import re
import sqlite3
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

from aios_kernel.connections import Connections
from aios_kernel.logs import logger
from aios_kernel.storage.jail import private
from aios_kernel.store.base import Hit

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from aios_kernel.storage.records import Entry, Records
    from aios_kernel.storage.roots import Root
    from aios_kernel.store.base import SearchIndex

__all__ = ["Indexer", "KeywordIndex"]

log = logger(__name__)
INDEXED_CHARACTERS = 200_000  # of each file
MOST_WORDS = 64  # of a query; SQLite takes no longer ones
SCHEMA = """
CREATE TABLE IF NOT EXISTS documents (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, metadata TEXT NOT NULL);
CREATE VIRTUAL TABLE IF NOT EXISTS texts USING fts5 (text, tokenize = 'porter unicode61');
"""


class KeywordIndex:
    """SQLite's full-text search, ranked by BM25: finds words and their inflections, not meanings.

    `fresh` says that it begins with nothing and has to be filled; so it does where its file was damaged.
    """

    def __init__(self, path: str) -> None:
        self._writing = threading.Lock()  # SQLite's own waiting for a writer is by looking now and then
        self.fresh = not Path(path).exists()
        private(path)
        self._connections = Connections(path, _set_up, patience=60)
        try:
            self._create()
        except sqlite3.DatabaseError:
            log.warning("the index %s is damaged and is made anew", path)
            for name in (path, f"{path}-wal", f"{path}-shm"):
                Path(name).unlink(missing_ok=True)
            self.fresh = True
            private(path)
            self._create()

    def index(self, id: str, text: str, metadata: Mapping[str, Any]) -> None:  # noqa: A002
        """Keep a text under an id, in place of what is there."""
        told = json.dumps(dict(metadata))
        with self._writing, self._connections.use() as connection:
            run = connection.execute
            run("BEGIN IMMEDIATE")
            _forget(connection, id)
            number = run("INSERT INTO documents (name, metadata) VALUES (?, ?)", (id, told)).lastrowid
            run("INSERT INTO texts (rowid, text) VALUES (?, ?)", (number, text))
            run("COMMIT")

    def remove(self, id: str) -> None:  # noqa: A002
        """Forget an id; one that is not there is as good."""
        with self._writing, self._connections.use() as connection:
            connection.execute("BEGIN IMMEDIATE")
            _forget(connection, id)
            connection.execute("COMMIT")

    def search(self, query: str, k: int, filter: Mapping[str, Any]) -> list[Hit]:  # noqa: A002
        """The `k` best, best first, among those whose metadata has every value of `filter`."""
        words = re.findall(r"\w+", query)[:MOST_WORDS]
        if not words:
            return []
        where = "".join(" AND json_extract(metadata, ?) = ?" for _ in filter)
        values = [value for key, wanted in filter.items() for value in (f'$."{key}"', wanted)]
        asked = " OR ".join(f'"{word}"' for word in words)
        with self._connections.use() as connection:
            rows = connection.execute(
                f"""SELECT name, bm25(texts) FROM texts JOIN documents ON documents.id = texts.rowid
                    WHERE texts MATCH ?{where} ORDER BY bm25(texts), name LIMIT ?""",  # noqa: S608 - marks only
                (asked, *values, k),
            ).fetchall()
        return [Hit(id=name, score=-rank) for name, rank in rows]

    def after_fork(self) -> None:
        """Have a lock of this process's own."""
        self._writing = threading.Lock()

    def close(self) -> None:
        """Close the file."""
        self._connections.close()

    def _create(self) -> None:
        with self._connections.use() as connection:
            connection.executescript(f"BEGIN IMMEDIATE; {SCHEMA} COMMIT;")
            connection.execute("SELECT count(*) FROM documents").fetchone()


def _set_up(connection: sqlite3.Connection) -> None:
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = NORMAL")


def _forget(connection: sqlite3.Connection, name: str) -> None:
    row = connection.execute("SELECT id FROM documents WHERE name = ?", (name,)).fetchone()
    if row is not None:
        connection.execute("DELETE FROM texts WHERE rowid = ?", row)
        connection.execute("DELETE FROM documents WHERE id = ?", row)


class Indexer:
    """Tells an index of every change. An index that fails hurts nobody: the file counts as not indexed until the next opening."""

    def __init__(self, index: SearchIndex, records: Records) -> None:
        self._index = index
        self._records = records

    def changed(self, root: Root, entry: Entry, data: bytes | None) -> None:
        """Have the index know a file's newest content, None for a file that is gone."""
        try:
            text = _text(data)
            if text is None:
                self._index.remove(_id(entry))
            else:
                metadata = {"root": root.label, "path": entry.path}
                self._index.index(_id(entry), f"{entry.path}\n{text[:INDEXED_CHARACTERS]}", metadata)
        except Exception:
            log.exception("the index did not take %r of %s", entry.path, root.label)
        else:
            self._records.indexed(entry)

    def search(self, root: Root, query: str, k: int, take: Callable[[str, float], Any | None]) -> list[Any]:
        """What `take(path, score)` makes of the best `k` files of a root that it does not answer None to."""
        wanted = max(20, 4 * k)
        while True:
            hits = self._index.search(query, wanted, {"root": root.label})
            taken: list[Any] = []
            for hit in hits:
                made = take(hit.id.partition(":")[2], hit.score)
                if made is not None:
                    taken.append(made)
                if len(taken) == k:
                    return taken
            if len(hits) < wanted:
                return taken
            wanted *= 4


def _id(entry: Entry) -> str:
    return f"{entry.root}:{entry.path}"


def _text(data: bytes | None) -> str | None:
    if data is None:
        return None
    try:
        return data.decode()
    except UnicodeDecodeError:
        return None
