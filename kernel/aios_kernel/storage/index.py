"""Search in files: the default index, full text in SQLite, and what keeps any index up to date."""

from __future__ import annotations

import json
import re
import sqlite3
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

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
        self._lock = threading.Lock()
        self._path = path
        self.fresh = not Path(path).exists()
        try:
            self._connection = self._open()
        except sqlite3.DatabaseError:
            log.warning("the index %s is damaged and is made anew", path)
            for name in (path, f"{path}-wal", f"{path}-shm"):
                Path(name).unlink(missing_ok=True)
            self.fresh = True
            self._connection = self._open()

    def index(self, id: str, text: str, metadata: Mapping[str, Any]) -> None:  # noqa: A002
        """Keep a text under an id, in place of what is there."""
        told = json.dumps(dict(metadata))
        with self._lock:
            run = self._connection.execute
            run("BEGIN IMMEDIATE")
            try:
                self._forget(id)
                number = run("INSERT INTO documents (name, metadata) VALUES (?, ?)", (id, told)).lastrowid
                run("INSERT INTO texts (rowid, text) VALUES (?, ?)", (number, text))
            except BaseException:
                run("ROLLBACK")
                raise
            run("COMMIT")

    def remove(self, id: str) -> None:  # noqa: A002
        """Forget an id; one that is not there is as good."""
        with self._lock:
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                self._forget(id)
            finally:
                self._connection.execute("COMMIT")

    def search(self, query: str, k: int, filter: Mapping[str, Any]) -> list[Hit]:  # noqa: A002
        """The `k` best, best first, among those whose metadata has every value of `filter`."""
        words = re.findall(r"\w+", query)[:MOST_WORDS]
        if not words:
            return []
        where = "".join(" AND json_extract(metadata, ?) = ?" for _ in filter)
        values = [value for key, wanted in filter.items() for value in (f'$."{key}"', wanted)]
        asked = " OR ".join(f'"{word}"' for word in words)
        with self._lock:
            rows = self._connection.execute(
                f"""SELECT name, bm25(texts) FROM texts JOIN documents ON documents.id = texts.rowid
                    WHERE texts MATCH ?{where} ORDER BY bm25(texts), name LIMIT ?""",  # noqa: S608 - marks only
                (asked, *values, k),
            ).fetchall()
        return [Hit(id=name, score=-rank) for name, rank in rows]

    def after_fork(self) -> None:
        """Open the file anew; the parent's connection must not even be closed here."""
        _inherited.append(self._connection)
        self._lock = threading.Lock()
        self._connection = self._open()

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            self._connection.close()

    def _forget(self, name: str) -> None:
        row = self._connection.execute("SELECT id FROM documents WHERE name = ?", (name,)).fetchone()
        if row is not None:
            self._connection.execute("DELETE FROM texts WHERE rowid = ?", row)
            self._connection.execute("DELETE FROM documents WHERE id = ?", row)

    def _open(self) -> sqlite3.Connection:
        private(self._path)
        connection = sqlite3.connect(self._path, timeout=60, isolation_level=None, check_same_thread=False)
        try:
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("PRAGMA synchronous = NORMAL")
            connection.executescript(f"BEGIN IMMEDIATE; {SCHEMA} COMMIT;")
            connection.execute("SELECT count(*) FROM documents").fetchone()
        except BaseException:
            connection.close()
            raise
        return connection


_inherited: list[Any] = []  # connections of a parent process, kept from being closed


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
