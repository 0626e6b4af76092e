"""The store interface: records with vectors, filtered by metadata and found by their words or by their meaning."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

__all__ = ["Change", "Hit", "Record", "SearchIndex", "Store"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """One record of a collection.

    `version` counts the writes of its id, from 1; `number` is its place in the order in which the store's records were
    first written. A store sets both. `vector` is normalised and belongs to the embedder that `space` names; a record without
    one is found by its words alone.
    """

    id: str
    text: str
    metadata: Mapping[str, Any] = field(default_factory=dict[str, Any])
    vector: Sequence[float] | None = None
    space: str = ""
    version: int = 0
    number: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Hit:
    """One record found; a higher score is better, scores of different searches do not compare."""

    id: str
    score: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """One record as it became at a stamp; `version` 0: it was removed. Stamps only ever grow."""

    stamp: int
    collection: str
    id: str
    version: int


class Store(Protocol):
    """Collections of records. Safe for several threads; a store of files also for several processes.

    `where` is `{"key": value}` or `{"key": {"$gt": value}}` with `$ne`, `$in`, `$gt`, `$gte`, `$lt`, `$lte`; all must hold.

    What a method has returned from is kept: no kill of the process loses it. A write of several records is done whole or
    not at all. Records come back without their vectors, except from `get`.
    """

    def put(self, collection: str, records: Sequence[Record], *, expect: int | None = None) -> list[Record]:
        """Write records in place of those of the same ids; return them with their versions and numbers.

        With `expect` each id has to be at this version, 0: must not be there; else `VersionConflict`, and nothing is written.
        """
        ...

    def get(self, collection: str, ids: Sequence[str]) -> list[Record | None]:
        """The records of these ids, None for one that is not there."""
        ...

    def remove(self, collection: str, ids: Sequence[str], *, expect: int | None = None) -> int:
        """Remove records and return how many there were; `expect` as in `put`."""
        ...

    def scan(
        self, collection: str, *, where: Mapping[str, Any] | None = None, after: int = 0, limit: int | None = None
    ) -> list[Record]:
        """Records in the order of their numbers, from the one behind `after`."""
        ...

    def count(self, collection: str, where: Mapping[str, Any] | None = None) -> int:
        """How many records there are."""
        ...

    def collections(self) -> list[str]:
        """The names of the collections that have records."""
        ...

    def search_text(self, collection: str, query: str, k: int, where: Mapping[str, Any] | None = None) -> list[Hit]:
        """The `k` best that have any of the query's words, best first; rare words weigh more."""
        ...

    def search_vector(
        self, collection: str, space: str, vector: Sequence[float], k: int, where: Mapping[str, Any] | None = None
    ) -> list[Hit]:
        """The `k` nearest by cosine among the vectors of this space, nearest first."""
        ...

    def attach(self, collection: str, space: str, vectors: Mapping[str, tuple[int, Sequence[float]]]) -> int:
        """Give records vectors, each where its version is still the one named; versions stay. Return how many took it."""
        ...

    def lacking(self, collection: str, space: str, limit: int) -> list[Record]:
        """Some records that have no vector of this space."""
        ...

    def count_lacking(self, collection: str, space: str) -> int:
        """How many records have no vector of this space."""
        ...

    def identity(self) -> int:
        """A number that another store does not have: whoever follows the changes knows whose they are."""
        ...

    def stamp(self) -> int:
        """The stamp of the latest change."""
        ...

    def changes(self, after: int, limit: int) -> list[Change] | None:
        """The changes behind a stamp, oldest first; the last of each id counts. None: too long ago to tell, begin anew."""
        ...

    def after_fork(self) -> None:
        """Be usable in a child process."""
        ...

    def close(self) -> None:
        """Give back files and memory; closing twice is fine."""
        ...


class SearchIndex(Protocol):
    """An index of texts that may be asked by other managers; see `aios_kernel.store.HybridIndex`."""

    def index(self, id: str, text: str, metadata: Mapping[str, Any]) -> None:  # noqa: A002 - the field's word
        """Keep a text under an id, in place of what is there."""
        ...

    def remove(self, id: str) -> None:  # noqa: A002
        """Forget an id; one that is not there is as good."""
        ...

    def search(self, query: str, k: int, filter: Mapping[str, Any]) -> Sequence[Hit]:  # noqa: A002
        """The `k` best, best first, among those whose metadata has every value of `filter`."""
        ...
