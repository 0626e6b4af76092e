"""Hybrid search: what the words find and what the vectors find, as one ranking."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Literal, TypeVar

from aios_kernel.logs import logger
from aios_kernel.store.base import Hit, Record
from aios_kernel.store.words import raw_words, telling

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from aios_kernel.embedding.base import Embedder
    from aios_kernel.store.base import Store

__all__ = ["Hybrid", "HybridIndex", "Mode", "fuse"]

T = TypeVar("T")
log = logger(__name__)
Mode = Literal["hybrid", "text", "vector"]
DAMPING = 60  # of reciprocal rank fusion, as its authors chose it (Cormack et al., SIGIR 2009)
FEWEST = 20  # candidates of each search, however few are asked for
BATCH = 64  # texts embedded at once


def fuse(rankings: Iterable[Sequence[Hit]]) -> list[Hit]:
    """Return one ranking of several by reciprocal rank fusion: 1 / (60 + rank) of each, added up."""
    scores: defaultdict[str, float] = defaultdict(float)
    for ranking in rankings:
        for rank, hit in enumerate(ranking, 1):
            scores[hit.id] += 1 / (DAMPING + rank)
    return [Hit(id=name, score=score) for name, score in sorted(scores.items(), key=lambda item: -item[1])]


class Hybrid:
    """Writes and searches a store with an embedder.

    An embedder that fails costs vectors, not records: a record is written without one, found by its words, and given its
    vector by the next `catch_up`.
    """

    def __init__(self, store: Store, embedder: Embedder) -> None:
        self.store = store
        self.embedder = embedder
        #: The embedder failed and works again: there may be records to `catch_up` with.
        self.recovered = False
        self._failing = False

    def with_vectors(self, records: Sequence[Record]) -> list[Record]:
        """Return the records with the vectors of their texts, or as they are where the embedder fails."""
        embedder = self.embedder  # may be replaced meanwhile
        vectors = self._try(lambda: embedder.embed([record.text for record in records]))
        if vectors is None:
            return [replace(record, vector=None, space="") for record in records]
        space = embedder.space
        return [replace(record, vector=vector, space=space) for record, vector in zip(records, vectors, strict=True)]

    def search(
        self, collection: str, query: str, k: int, where: Mapping[str, Any] | None = None, mode: Mode = "hybrid"
    ) -> list[Hit]:
        """The `k` best, best first. Without vectors to compare, hybrid search is text search."""
        if k < 1:
            return []
        depth = max(FEWEST, 4 * k) if mode == "hybrid" else k
        rankings: list[list[Hit]] = []
        if mode != "vector":
            asked = " ".join(telling(raw_words(query)))
            rankings.append(self.store.search_text(collection, asked, depth, where))
        if mode != "text":
            embedder = self.embedder
            vector = self._try(lambda: embedder.embed_query(query))
            near = [] if vector is None else self.store.search_vector(collection, embedder.space, vector, depth, where)
            rankings.append([hit for hit in near if hit.score > 0])
        return (rankings[0] if len(rankings) == 1 else fuse(rankings))[:k]

    def catch_up(
        self,
        progress: Callable[[int, int], None] | None = None,
        *,
        belongs: Callable[[str], bool] | None = None,
        going_on: Callable[[], bool] | None = None,
    ) -> int:
        """Embed whatever has no vector of this embedder; return how many got one.

        `progress(done, total)` is called after each batch, `belongs(collection)` says which are meant (None: all), and
        where `going_on()` is false it ends early. Raises what the embedder raises; what is done stays done.
        """
        embedder, done = self.embedder, 0
        collections = [name for name in self.store.collections() if belongs is None or belongs(name)]
        waiting = {name: self.store.count_lacking(name, embedder.space) for name in collections}
        total = sum(waiting.values())
        if progress:
            progress(0, total)
        for name in (name for name, count in waiting.items() if count):
            while (going_on is None or going_on()) and (batch := self.store.lacking(name, embedder.space, BATCH)):
                vectors = embedder.embed([record.text for record in batch])
                pairs = zip(batch, vectors, strict=True)
                done += self.store.attach(name, embedder.space, {r.id: (r.version, vector) for r, vector in pairs})
                if progress:
                    progress(min(done, total), total)
        return done

    def _try(self, ask: Callable[[], T]) -> T | None:
        """What the embedder answers, None where it fails; that is logged once, until it works again."""
        try:
            answer = ask()
        except Exception:
            if not self._failing:
                log.exception("the embedder %s failed: going on with words alone", self.embedder.space)
            self._failing = True
            return None
        if self._failing:
            self._failing, self.recovered = False, True
        return answer


class HybridIndex:
    """One collection of a store as the index of somebody who keeps the texts elsewhere, such as the storage manager."""

    def __init__(self, hybrid: Hybrid, collection: str) -> None:
        self._hybrid, self._collection = hybrid, collection

    @property
    def fresh(self) -> bool:
        """Whether there is nothing in it, so that it has to be filled."""
        return self._hybrid.store.count(self._collection) == 0

    def index(self, id: str, text: str, metadata: Mapping[str, Any]) -> None:  # noqa: A002 - the field's word
        """Keep a text under an id, in place of what is there."""
        record = Record(id=id, text=text, metadata=metadata)
        self._hybrid.store.put(self._collection, self._hybrid.with_vectors([record]))

    def remove(self, id: str) -> None:  # noqa: A002
        """Forget an id; one that is not there is as good."""
        self._hybrid.store.remove(self._collection, [id])

    def search(self, query: str, k: int, filter: Mapping[str, Any]) -> list[Hit]:  # noqa: A002
        """The `k` best, best first, among those whose metadata has every value of `filter`."""
        return self._hybrid.search(self._collection, query, k, filter)

    def after_fork(self) -> None:
        """Be usable in a child process."""
        self._hybrid.store.after_fork()

    def close(self) -> None:
        """Close the store."""
        self._hybrid.store.close()
