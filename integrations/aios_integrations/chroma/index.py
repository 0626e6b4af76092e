"""The index: the vectors of a store in chromadb, brought up to date from the store's feed of changes."""

from __future__ import annotations

import hashlib
import importlib
from collections import defaultdict
from typing import TYPE_CHECKING, Any

from aios_kernel.store import Hit

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from aios_kernel.store import Record, Store

__all__ = ["Index"]

PAGE = 1000


class Index:
    """chromadb over one folder. Not safe among threads; whatever chromadb raises comes through.

    `stamp` is the store's stamp up to which it is complete.
    """

    def __init__(self, store: Store, folder: Path, stamp: int) -> None:
        # Third-party and optional: not there for whoever checks types without the extra.
        chromadb: Any = importlib.import_module("chromadb")
        settings: Any = importlib.import_module("chromadb.config").Settings(anonymized_telemetry=False)
        self._store = store
        self.stamp = stamp
        self._client: Any = chromadb.PersistentClient(path=str(folder), settings=settings)
        self._collections: dict[str, Any] = {}
        self._kinds: defaultdict[str, set[tuple[str, int]]] = defaultdict(set)
        for found in self._client.list_collections():
            metadata: dict[str, Any] = found.metadata
            self._kinds[metadata["collection"]].add((metadata["space"], metadata["length"]))

    def behind(self) -> int:
        """How many changes it lacks, at most."""
        return self._store.stamp() - self.stamp

    def catch_up(self) -> None:
        """Take in all that has changed."""
        while self.behind() > 0:
            changes = self._store.changes(self.stamp, PAGE) if self.stamp else None
            if changes is None:
                self._fill()
            elif not changes:
                return
            else:
                names: defaultdict[str, list[str]] = defaultdict(list)
                for change in changes:
                    names[change.collection].append(change.id)
                for collection, ids in names.items():
                    self._take_in(collection, list(dict.fromkeys(ids)))
                self.stamp = changes[-1].stamp

    def search(self, collection: str, space: str, vector: Sequence[float], k: int) -> list[Hit]:
        """The `k` nearest, nearest first; some may be left out, as HNSW does."""
        if (space, len(vector)) not in self._kinds[collection]:
            return []
        inside = self._open(collection, space, len(vector))
        # It gives fewer where there are fewer; to count them first would look at every one.
        found = inside.query(query_embeddings=[list(vector)], n_results=k, include=["distances"])
        pairs = zip(found["ids"][0], found["distances"][0], strict=True)
        return [Hit(id=name, score=1.0 - float(distance)) for name, distance in pairs]

    def close(self) -> None:
        """Have everything on the disk."""
        self._collections.clear()
        self._client.close()

    def _fill(self) -> None:
        """Read the whole store; what changes meanwhile is taken in afterwards."""
        stamp = self._store.stamp()
        for found in self._client.list_collections():
            self._client.delete_collection(found.name)
        self._collections.clear()
        self._kinds.clear()
        for collection in self._store.collections():
            after = 0
            while page := self._store.scan(collection, after=after, limit=PAGE):
                self._take_in(collection, [record.id for record in page])
                after = page[-1].number
        self.stamp = stamp

    def _take_in(self, collection: str, ids: list[str]) -> None:
        records = dict(zip(ids, self._store.get(collection, ids), strict=True))
        by_kind: defaultdict[tuple[str, int], list[Record]] = defaultdict(list)
        for record in records.values():
            # A vector of zeros has no direction, and chromadb's cosine none for it.
            if record is not None and record.vector is not None and any(record.vector):
                by_kind[record.space, len(record.vector)].append(record)
        for kind in self._kinds[collection] | by_kind.keys():
            inside = self._open(collection, *kind)
            there = {record.id: record for record in by_kind.get(kind, ())}
            for batch in _batches([name for name in ids if name not in there]):
                inside.delete(ids=batch)
            for batch in _batches(list(there)):
                inside.upsert(ids=batch, embeddings=[list(there[name].vector or ()) for name in batch])

    def _open(self, collection: str, space: str, length: int) -> Any:
        """Return the collection in chromadb for vectors of one space and length: it does not mix them."""
        name = hashlib.sha256(f"{length}\0{collection}\0{space}".encode()).hexdigest()
        inside = self._collections.get(name)
        if inside is None:
            inside = self._collections[name] = self._client.get_or_create_collection(
                name,
                metadata={"collection": collection, "space": space, "length": length},
                configuration={"hnsw": {"space": "cosine"}},
                embedding_function=None,
            )
            self._kinds[collection].add((space, length))
        return inside


def _batches(names: list[str]) -> Iterable[list[str]]:
    return (names[at : at + PAGE] for at in range(0, len(names), PAGE))
