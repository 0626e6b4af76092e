"""The store as plainly as it can be said: dictionaries under one lock. The reference for the others, and fit for tests."""

from __future__ import annotations

import json
import math
import secrets
import threading
from collections import Counter
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from aios_kernel.errors import VersionConflict
from aios_kernel.store.base import Change, Hit, Record
from aios_kernel.store.vectors import Matrix, normalised, pack
from aios_kernel.store.where import encode, matches, parse
from aios_kernel.store.words import stem, words

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

__all__ = ["MemoryStore", "conflict"]

REMEMBERED = 10_000  # removals that `changes` can tell
SATURATION, LENGTH = 1.2, 0.75  # BM25's customary constants


def conflict(collection: str, name: str, expect: int, found: int) -> VersionConflict:
    """Return the error of a record that is not at the version it should be at."""
    wanted = "must not be there" if expect == 0 else f"was expected at version {expect}"
    there = f"is at version {found}" if found else "is not there"
    return VersionConflict(f"record {name!r} of {collection!r} {wanted} and {there}: read it again, then decide")


class MemoryStore:
    """Records in memory, gone with the process; safe for several threads of it."""

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._rows: dict[str, dict[str, Record]] = {}
        # The latest change of each record, as stamp and version (0: removed), oldest first.
        self._changes: dict[tuple[str, str], tuple[int, int]] = {}
        self._gone: dict[tuple[str, str], None] = {}
        self._numbers = self._stamp = self._forgotten = 0
        self._identity = secrets.randbits(62)

    def put(self, collection: str, records: Sequence[Record], *, expect: int | None = None) -> list[Record]:
        """Write records in place of those of the same ids."""
        written: dict[str, Record] = {}
        with self._lock:
            rows = self._rows.get(collection, {})
            self._check(collection, (record.id for record in records), expect)
            for record in records:
                kept = written.get(record.id) or rows.get(record.id)
                if kept is None:
                    self._numbers += 1
                written[record.id] = replace(
                    record,
                    metadata=json.loads(encode(record.metadata)),
                    vector=None if record.vector is None else normalised(record.vector),
                    version=kept.version + 1 if kept else 1,
                    number=kept.number if kept else self._numbers,
                )
            for record in written.values():
                self._rows.setdefault(collection, {})[record.id] = record
                self._note(collection, record.id, record.version)
        return [_plain(written[record.id]) for record in records]

    def get(self, collection: str, ids: Sequence[str]) -> list[Record | None]:
        """The records of these ids, None for one that is not there."""
        with self._lock:
            rows = self._rows.get(collection, {})
            return [_own(rows[name]) if name in rows else None for name in ids]

    def remove(self, collection: str, ids: Sequence[str], *, expect: int | None = None) -> int:
        """Remove records and return how many there were."""
        with self._lock:
            self._check(collection, ids, expect)
            rows = self._rows.get(collection, {})
            found = [name for name in dict.fromkeys(ids) if name in rows]
            for name in found:
                del rows[name]
                self._note(collection, name, 0)
            return len(found)

    def scan(
        self, collection: str, *, where: Mapping[str, Any] | None = None, after: int = 0, limit: int | None = None
    ) -> list[Record]:
        """Records in the order of their numbers, from the one behind `after`."""
        found = [record for record in self._matching(collection, where) if record.number > after]
        return [_plain(record) for record in found[:limit]]

    def count(self, collection: str, where: Mapping[str, Any] | None = None) -> int:
        """How many records there are."""
        return len(self._matching(collection, where))

    def collections(self) -> list[str]:
        """The names of the collections that have records."""
        with self._lock:
            return sorted(name for name, rows in self._rows.items() if rows)

    def search_text(self, collection: str, query: str, k: int, where: Mapping[str, Any] | None = None) -> list[Hit]:
        """The `k` best by BM25 that have any of the query's words, best first."""
        asked = {stem(word) for word in words(query)}
        every = self._matching(collection, None)
        conditions = parse(where)
        texts = [Counter(stem(word) for word in words(record.text)) for record in every]
        average = sum(text.total() for text in texts) / len(texts) if texts else 0.0
        weights = {word: _rarity(sum(word in text for text in texts), len(texts)) for word in asked}
        scored: list[tuple[float, int, str]] = []
        for record, text in zip(every, texts, strict=True):
            if asked & text.keys() and matches(record.metadata, conditions):
                damp = SATURATION * (1 - LENGTH + LENGTH * text.total() / average)
                score = sum(weights[w] * text[w] * (SATURATION + 1) / (text[w] + damp) for w in asked & text.keys())
                scored.append((-score, record.number, record.id))
        return [Hit(id=name, score=-score) for score, _, name in sorted(scored)[: max(0, k)]]

    def search_vector(
        self, collection: str, space: str, vector: Sequence[float], k: int, where: Mapping[str, Any] | None = None
    ) -> list[Hit]:
        """The `k` nearest by cosine among the vectors of this space, nearest first."""
        matrix, names = Matrix(), dict[int, str]()
        for record in self._matching(collection, where):
            if record.vector is not None and record.space == space:
                matrix.set(record.number, pack(record.vector))
                names[record.number] = record.id
        return [Hit(id=names[number], score=score) for number, score in matrix.nearest(normalised(vector), max(0, k))]

    def attach(self, collection: str, space: str, vectors: Mapping[str, tuple[int, Sequence[float]]]) -> int:
        """Give records vectors, each where its version is still the one named."""
        taken = 0
        with self._lock:
            rows = self._rows.get(collection, {})
            for name, (version, vector) in vectors.items():
                if name in rows and rows[name].version == version:
                    rows[name] = replace(rows[name], vector=normalised(vector), space=space)
                    self._note(collection, name, version)
                    taken += 1
        return taken

    def lacking(self, collection: str, space: str, limit: int) -> list[Record]:
        """Some records that have no vector of this space."""
        records = self._matching(collection, None)
        return [_plain(record) for record in records if record.vector is None or record.space != space][:limit]

    def count_lacking(self, collection: str, space: str) -> int:
        """How many records have no vector of this space."""
        return len(self.lacking(collection, space, self.count(collection)))

    def identity(self) -> int:
        """A number that another store does not have."""
        return self._identity

    def stamp(self) -> int:
        """The stamp of the latest change."""
        return self._stamp

    def changes(self, after: int, limit: int) -> list[Change] | None:
        """The changes behind a stamp, oldest first, one for each record; None where removals are forgotten since."""
        with self._lock:
            if after < self._forgotten:
                return None
            found: list[Change] = []
            for (name, key), (stamp, version) in reversed(self._changes.items()):
                if stamp <= after:
                    break
                found.append(Change(stamp=stamp, collection=name, id=key, version=version))
        return found[::-1][:limit]

    def after_fork(self) -> None:
        """Go on with a lock of its own; the child has a copy of the records."""
        self._lock = threading.RLock()

    def close(self) -> None:
        """Keep everything: there is nothing to give back."""

    def _note(self, collection: str, name: str, version: int) -> None:
        self._stamp += 1
        self._changes.pop((collection, name), None)
        self._changes[collection, name] = self._stamp, version
        self._gone.pop((collection, name), None)
        if version == 0:
            self._gone[collection, name] = None
            if len(self._gone) > REMEMBERED:
                oldest = next(iter(self._gone))
                del self._gone[oldest]
                self._forgotten, _ = self._changes.pop(oldest)

    def _check(self, collection: str, ids: Iterable[str], expect: int | None) -> None:
        rows = self._rows.get(collection, {})
        if expect is None:
            return
        for name in ids:
            version = rows[name].version if name in rows else 0
            if version != expect:
                raise conflict(collection, name, expect, version)

    def _matching(self, collection: str, where: Mapping[str, Any] | None) -> list[Record]:
        conditions = parse(where)
        with self._lock:
            records = list(self._rows.get(collection, {}).values())
        return sorted((r for r in records if matches(r.metadata, conditions)), key=lambda record: record.number)


def _own(record: Record) -> Record:
    """The record with metadata of its own, which a caller may change."""
    return replace(record, metadata=json.loads(json.dumps(record.metadata)))


def _plain(record: Record) -> Record:
    return replace(_own(record), vector=None)


def _rarity(having: int, of: int) -> float:
    return math.log(1 + (of - having + 0.5) / (having + 0.5))
