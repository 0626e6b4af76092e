"""The default store: SQLite (WAL) holds records and vectors, FTS5 finds words, and vectors are searched exactly."""

from __future__ import annotations

import json
import os
import sqlite3
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from aios_kernel.errors import ConfigError, StoreError
from aios_kernel.store.base import Change, Hit, Record
from aios_kernel.store.matrices import Matrices
from aios_kernel.store.memory import conflict
from aios_kernel.store.schema import Durability, RecordFile
from aios_kernel.store.vectors import normalised, pack, unpack
from aios_kernel.store.where import encode, parse, to_sql
from aios_kernel.store.words import raw_words

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

__all__ = ["SQLiteStore"]

FORGET_BEHIND = 20_000  # removals remembered for indexes that follow the changes
_LACKING = "r.collection = ? AND (r.space <> ? OR r.vector IS NULL)"
_PLAIN = "r.id, r.text, r.metadata, r.space, r.version, r.number"


def _no_crash(point: str) -> None:
    """Go on; tests end the process here instead."""


class SQLiteStore:
    """Records in one file, for any number of threads and processes.

    Vectors are also held in memory, as long as those of all collections fit into `cache_bytes`, else they are read
    again. `crash_point` is called at named moments of a write.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        durability: Durability = "process",
        cache_bytes: int = 512 << 20,
        crash_point: Callable[[str], None] = _no_crash,
    ) -> None:
        if str(path) == ":memory:":
            raise ConfigError("a store in memory is a MemoryStore; this one is a file")
        self.path = Path(path).absolute()
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self._file = RecordFile(str(self.path), durability)
        self._matrices = Matrices(cache_bytes)
        self._crash_point = crash_point

    def put(self, collection: str, records: Sequence[Record], *, expect: int | None = None) -> list[Record]:
        """Write records in place of those of the same ids, in one transaction."""
        rows = [(r, encode(r.metadata), None if r.vector is None else pack(normalised(r.vector))) for r in records]
        with self._file.write() as run:
            home = _home(run, collection, make=True)
            if expect is not None:
                _check(run, home, collection, [record.id for record in records], expect)
            stamp = _next_stamps(run, len(rows))
            written: list[Record] = []
            for at, (record, metadata, vector) in enumerate(rows, stamp):
                ((version, number),) = run.execute(  # the update of a record that is there keeps its number
                    """INSERT INTO records (collection, id, text, metadata, version, stamp, space, vector)
                       VALUES (?, ?, ?, ?, 1, ?, ?, ?) ON CONFLICT (collection, id) DO UPDATE SET text = excluded.text,
                       metadata = excluded.metadata, version = version + 1, stamp = excluded.stamp,
                       space = excluded.space, vector = excluded.vector RETURNING version, number""",
                    (home, record.id, record.text, metadata, at, record.space, vector),
                ).fetchall()
                self._crash_point("put: a record written")
                plain = replace(record, metadata=json.loads(metadata), vector=None)
                written.append(replace(plain, version=version, number=number))
            self._crash_point("put: before commit")
        self._crash_point("put: after commit")
        return written

    def get(self, collection: str, ids: Sequence[str]) -> list[Record | None]:
        """The records of these ids, None for one that is not there."""
        with self._file.use() as run:
            return [_record(_row(run, collection, name)) for name in ids]

    def remove(self, collection: str, ids: Sequence[str], *, expect: int | None = None) -> int:
        """Remove records and return how many there were."""
        removed = 0
        with self._file.write() as run:
            home = _home(run, collection)
            if expect is not None:
                _check(run, home, collection, ids, expect)
            for name in dict.fromkeys(ids):
                row = run.execute(
                    "DELETE FROM records WHERE collection = ? AND id = ? RETURNING number", (home, name)
                ).fetchall()
                if row:
                    stamp = _next_stamps(run, 1)
                    run.execute("INSERT INTO removed VALUES (?, ?, ?, ?)", (stamp, row[0][0], home, name))
                    removed += 1
                self._crash_point("remove: a record removed")
            if removed:
                _forget(run)
        return removed

    def scan(
        self, collection: str, *, where: Mapping[str, Any] | None = None, after: int = 0, limit: int | None = None
    ) -> list[Record]:
        """Records in the order of their numbers, from the one behind `after`."""
        with self._file.use() as run:
            condition, values = _condition(where)
            rows = run.execute(
                f"""SELECT {_PLAIN} FROM records AS r WHERE r.collection = ? AND r.number > ?{condition}
                    ORDER BY r.number LIMIT ?""",  # noqa: S608 - marks only
                (_home(run, collection), after, *values, -1 if limit is None else max(0, limit)),
            )
            return [_plain(row) for row in rows]

    def count(self, collection: str, where: Mapping[str, Any] | None = None) -> int:
        """How many records there are."""
        with self._file.use() as run:
            condition, values = _condition(where)
            sql = f"SELECT count(*) FROM records AS r WHERE r.collection = ?{condition}"  # noqa: S608 - marks only
            return int(run.execute(sql, (_home(run, collection), *values)).fetchone()[0])

    def collections(self) -> list[str]:
        """The names of the collections that have records."""
        sql = (
            "SELECT name FROM collections AS c WHERE EXISTS (SELECT 1 FROM records WHERE collection = c.id) ORDER BY 1"
        )
        with self._file.use() as run:
            return [name for (name,) in run.execute(sql)]

    def search_text(self, collection: str, query: str, k: int, where: Mapping[str, Any] | None = None) -> list[Hit]:
        """The `k` best by BM25 that have any of the query's words, best first."""
        asked = " OR ".join(f'"{word}"' for word in raw_words(query))
        if not asked or k < 1:
            return []
        with self._file.use() as run:
            condition, values = _condition(where)
            home = _home(run, collection)
            rows = run.execute(
                f"""SELECT r.id, bm25(texts, 1.0, 0.0) AS rank FROM texts JOIN records AS r ON r.number = texts.rowid
                    WHERE texts MATCH ? AND r.collection = ?{condition}
                    ORDER BY rank, r.number LIMIT ?""",  # noqa: S608 - marks only
                (f"home : c{home} AND text : ({asked})", home, *values, k),
            )
            return [Hit(id=name, score=-rank) for name, rank in rows]

    def search_vector(
        self, collection: str, space: str, vector: Sequence[float], k: int, where: Mapping[str, Any] | None = None
    ) -> list[Hit]:
        """The `k` nearest by cosine among the vectors of this space, nearest first."""
        with self._file.use() as run:
            home, conditions = _home(run, collection), parse(where)
            among: set[int] | None = None
            if conditions:
                condition, values = _condition(where)
                sql = f"SELECT r.number FROM records AS r WHERE r.collection = ?{condition}"  # noqa: S608 - marks only
                among = {number for (number,) in run.execute(sql, (home, *values))}
            nearest = self._matrices.nearest(run, home, space, normalised(vector), max(0, k), among)
            hits: list[Hit] = []
            for number, score in nearest:
                row = run.execute("SELECT id FROM records WHERE number = ?", (number,)).fetchone()
                if row is not None:  # removed by somebody since the vectors were compared
                    hits.append(Hit(id=row[0], score=score))
            return hits

    def attach(self, collection: str, space: str, vectors: Mapping[str, tuple[int, Sequence[float]]]) -> int:
        """Give records vectors, each where its version is still the one named."""
        rows = [(name, version, pack(normalised(vector))) for name, (version, vector) in vectors.items()]
        with self._file.write() as run:
            home, stamp = _home(run, collection), _next_stamps(run, len(rows))
            sql = "UPDATE records SET space = ?, vector = ?, stamp = ? WHERE collection = ? AND id = ? AND version = ?"
            return sum(
                run.execute(sql, (space, vector, at, home, name, version)).rowcount
                for at, (name, version, vector) in enumerate(rows, stamp)
            )

    def lacking(self, collection: str, space: str, limit: int) -> list[Record]:
        """Some records that have no vector of this space."""
        with self._file.use() as run:
            sql = f"SELECT {_PLAIN} FROM records AS r WHERE {_LACKING} LIMIT ?"  # noqa: S608 - marks only
            return [_plain(row) for row in run.execute(sql, (_home(run, collection), space, limit))]

    def count_lacking(self, collection: str, space: str) -> int:
        """How many records have no vector of this space."""
        with self._file.use() as run:
            sql = f"SELECT count(*) FROM records AS r WHERE {_LACKING}"  # noqa: S608 - marks only
            return int(run.execute(sql, (_home(run, collection), space)).fetchone()[0])

    def identity(self) -> int:
        """A number that another store does not have; it is in the file."""
        return self._counter("identity")

    def stamp(self) -> int:
        """The stamp of the latest change."""
        return self._counter("stamp")

    def changes(self, after: int, limit: int) -> list[Change] | None:
        """The changes behind a stamp, oldest first, one for each record; None where removals are forgotten since."""
        with self._file.use() as run:
            run.execute("BEGIN")
            try:
                forgotten = run.execute("SELECT value FROM counters WHERE name = 'forgotten'").fetchone()[0]
                rows = run.execute(
                    """SELECT s.stamp, c.name, s.id, s.version FROM (
                           SELECT stamp, collection, id, version FROM records WHERE stamp > ?1
                           UNION ALL SELECT stamp, collection, id, 0 FROM removed WHERE stamp > ?1
                           ORDER BY stamp LIMIT ?2) AS s JOIN collections AS c ON c.id = s.collection ORDER BY s.stamp""",
                    (after, limit),
                ).fetchall()
            finally:
                run.execute("COMMIT")
        if after < forgotten:
            return None
        return [Change(stamp=stamp, collection=name, id=key, version=version) for stamp, name, key, version in rows]

    def check(self) -> None:
        """Read everything and raise `StoreError` for a file that is damaged; slow on large ones."""
        with self._file.use() as run:
            said = run.execute("PRAGMA integrity_check").fetchone()[0]
            if said != "ok":
                raise StoreError(f"the store {self.path} is damaged: {said}")
            run.execute("INSERT INTO texts (texts, rank) VALUES ('integrity-check', 1)")

    def after_fork(self) -> None:
        """Forget what is cached under locks of the parent."""
        self._matrices.clear()

    def close(self) -> None:
        """Close the file."""
        self._file.close()
        self._matrices.clear()

    def _counter(self, name: str) -> int:
        with self._file.use() as run:
            return int(run.execute("SELECT value FROM counters WHERE name = ?", (name,)).fetchone()[0])


def _home(run: sqlite3.Connection, collection: str, *, make: bool = False) -> int:
    """The number of a collection, 0 for one that is not there."""
    row = run.execute("SELECT id FROM collections WHERE name = ?", (collection,)).fetchone()
    if row is None and make:
        return int(run.execute("INSERT INTO collections (name) VALUES (?)", (collection,)).lastrowid or 0)
    return row[0] if row else 0


def _next_stamps(run: sqlite3.Connection, count: int) -> int:
    """Take some stamps in the open transaction and return the first."""
    sql = "UPDATE counters SET value = value + ? WHERE name = 'stamp' RETURNING value"
    (row,) = run.execute(sql, (count,)).fetchall()
    return int(row[0]) - count + 1


def _forget(run: sqlite3.Connection) -> None:
    """Forget old removals, so that a store which is written for ever does not grow for ever."""
    rows = run.execute(
        "DELETE FROM removed WHERE stamp <= (SELECT value FROM counters WHERE name = 'stamp') - ? RETURNING stamp",
        (FORGET_BEHIND,),
    ).fetchall()
    if rows:
        run.execute("UPDATE counters SET value = ? WHERE name = 'forgotten'", (max(stamp for (stamp,) in rows),))


def _check(run: sqlite3.Connection, home: int, collection: str, ids: Sequence[str], expect: int) -> None:
    for name in ids:
        row = run.execute("SELECT version FROM records WHERE collection = ? AND id = ?", (home, name)).fetchone()
        if (row[0] if row else 0) != expect:
            raise conflict(collection, name, expect, row[0] if row else 0)


def _condition(where: Mapping[str, Any] | None) -> tuple[str, list[Any]]:
    sql, values = to_sql(parse(where), "r.metadata")
    return f" AND {sql}" if sql else "", values


def _row(run: sqlite3.Connection, collection: str, name: str) -> Any:
    return run.execute(
        f"""SELECT {_PLAIN}, r.vector FROM records AS r JOIN collections AS c ON c.id = r.collection
            WHERE c.name = ? AND r.id = ?""",  # noqa: S608 - column names
        (collection, name),
    ).fetchone()


def _record(row: Any) -> Record | None:
    if row is None:
        return None
    plain = _plain(row[:6])
    return plain if row[6] is None else replace(plain, vector=unpack(row[6]))


def _plain(row: Any) -> Record:
    name, text, metadata, space, version, number = row
    return Record(id=name, text=text, metadata=json.loads(metadata), space=space, version=version, number=number)
