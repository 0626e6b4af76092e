"""A store whose vectors are searched with chromadb. The records are in the store below; the index may be lost at any time."""

from __future__ import annotations

import logging
import os
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

from aios_integrations.chroma.index import Index
from aios_integrations.chroma.place import Place
from aios_kernel.errors import ConfigError
from aios_kernel.store import Change, Hit, Record, SQLiteStore, Store
from aios_kernel.store.vectors import load_numpy

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

__all__ = ["ChromaStore"]

log = logging.getLogger(__name__)
AT_ONCE = 200  # changes taken in while a search waits; more are taken in beside it
TRIES = 3  # at an index that fails, before it is left alone

_inherited: list[Any] = []  # a parent process's index, which must not be closed here


class ChromaStore:
    """All is kept in `store` (a SQLite file's path, or a store); chromadb only answers which vectors are near.

    The index lies in `folder` (default: beside the file) and belongs to one process at a time. Searches with a filter, in
    another process, and while the index is being made or caught up, are exact ones of the store. An index that is missing, stale,
    damaged, or was not closed cleanly is thrown away and made anew; in the background, unless `background` is False.
    """

    def __init__(
        self,
        store: Store | str | os.PathLike[str],
        folder: str | os.PathLike[str] | None = None,
        *,
        background: bool = True,
    ) -> None:
        self._owns = isinstance(store, str | os.PathLike)
        self._store: Store = SQLiteStore(store) if isinstance(store, str | os.PathLike) else store
        if folder is None and not isinstance(self._store, SQLiteStore):
            raise ConfigError("name a folder for the index: this store has no file to put it beside")
        path = Path(folder) if folder is not None else Path(f"{getattr(self._store, 'path', '')}.chroma")
        self._place = Place(path.absolute())
        self._background = background
        self._lock = threading.Lock()
        self._index: Index | None = None
        self._failures = 0
        self._maker: threading.Thread | None = None
        self._closed = False
        self.searches = {"chromadb": 0, "exact": 0}

    def search_vector(
        self, collection: str, space: str, vector: Sequence[float], k: int, where: Mapping[str, Any] | None = None
    ) -> list[Hit]:
        """The `k` nearest, by chromadb where it is up to date, else exactly."""
        hits = None if where or k < 1 or not any(vector) else self._ask(collection, space, vector, k)
        self.searches["exact" if hits is None else "chromadb"] += 1
        return self._store.search_vector(collection, space, vector, k, where) if hits is None else hits

    def wait(self, timeout: float | None = None) -> bool:
        """Wait until the index is up to date; return whether it is."""
        self._make()
        maker = self._maker
        if maker is not None:
            maker.join(timeout)
        with self._lock:
            return self._index is not None and self._index.behind() <= AT_ONCE

    def after_fork(self) -> None:
        """Leave the index to the parent and search exactly."""
        _inherited.extend((self._index, self._place))
        self._store.after_fork()
        self._lock, self._index, self._maker, self._failures = threading.Lock(), None, None, TRIES

    def close(self) -> None:
        """Close the index cleanly, then the store if it was opened here."""
        self._closed = True
        if self._maker is not None:
            self._maker.join()
        with self._lock:
            index, self._index = self._index, None
            if index is not None:
                try:
                    index.close()
                    self._place.seal(self._store.identity(), index.stamp)
                except Exception:
                    log.exception("the index in %s was not closed cleanly: it will be made anew", self._place.folder)
            self._place.leave()
        if self._owns:
            self._store.close()

    # The index

    def _ask(self, collection: str, space: str, vector: Sequence[float], k: int) -> list[Hit] | None:
        if not self._background:
            self._make()
        if not self._lock.acquire(blocking=not self._background):
            return None  # somebody is bringing it up to date
        try:
            if self._index is not None and (not self._background or self._index.behind() <= AT_ONCE):
                self._index.catch_up()
                return self._index.search(collection, space, vector, k)
        except Exception as error:  # noqa: BLE001 - the index may be lost at any time
            self._failed(error)
        finally:
            self._lock.release()
        self._make()
        return None

    def _make(self) -> None:
        """See to it that the index will be up to date."""
        if self._closed or self._failures >= TRIES:
            return
        if not self._background:
            self._bring_up()
            return
        if self._maker is None or not self._maker.is_alive():
            self._maker = threading.Thread(target=self._bring_up, name="aios-chroma", daemon=True)
            self._maker.start()

    def _bring_up(self) -> None:
        load_numpy()  # before chromadb does, beside a search that does too
        with self._lock:
            try:
                if self._index is None:
                    if not self._place.take():
                        return
                    stamp = self._place.open(self._store.identity())
                    if stamp > self._store.stamp():  # the store was put back to an older state
                        self._place.wipe()
                        stamp = 0
                    self._index = Index(self._store, self._place.data, stamp)
                self._index.catch_up()
            except ImportError as error:
                self._failures = TRIES
                log.warning("vectors are searched exactly: %s; pip install 'aios-adapters[chroma]'", error)
            except Exception as error:  # noqa: BLE001 - the index may be lost at any time
                self._failed(error)

    def _failed(self, error: Exception) -> None:
        self._failures += 1
        log.error(
            "the index in %s failed: searches are exact until it is made anew", self._place.folder, exc_info=error
        )
        index, self._index = self._index, None
        if index is not None:
            try:
                index.close()
            except Exception:
                log.exception("chromadb could not be closed")
        self._place.wipe()

    # All else is the store's

    def put(self, collection: str, records: Sequence[Record], *, expect: int | None = None) -> list[Record]:
        """Write records in place of those of the same ids."""
        return self._store.put(collection, records, expect=expect)

    def get(self, collection: str, ids: Sequence[str]) -> list[Record | None]:
        """The records of these ids."""
        return self._store.get(collection, ids)

    def remove(self, collection: str, ids: Sequence[str], *, expect: int | None = None) -> int:
        """Remove records and return how many there were."""
        return self._store.remove(collection, ids, expect=expect)

    def scan(
        self, collection: str, *, where: Mapping[str, Any] | None = None, after: int = 0, limit: int | None = None
    ) -> list[Record]:
        """Records in the order of their numbers."""
        return self._store.scan(collection, where=where, after=after, limit=limit)

    def count(self, collection: str, where: Mapping[str, Any] | None = None) -> int:
        """How many records there are."""
        return self._store.count(collection, where)

    def collections(self) -> list[str]:
        """The names of the collections that have records."""
        return self._store.collections()

    def search_text(self, collection: str, query: str, k: int, where: Mapping[str, Any] | None = None) -> list[Hit]:
        """The `k` best that have any of the query's words."""
        return self._store.search_text(collection, query, k, where)

    def attach(self, collection: str, space: str, vectors: Mapping[str, tuple[int, Sequence[float]]]) -> int:
        """Give records vectors."""
        return self._store.attach(collection, space, vectors)

    def lacking(self, collection: str, space: str, limit: int) -> list[Record]:
        """Some records that have no vector of this space."""
        return self._store.lacking(collection, space, limit)

    def count_lacking(self, collection: str, space: str) -> int:
        """How many records have no vector of this space."""
        return self._store.count_lacking(collection, space)

    def identity(self) -> int:
        """A number that another store does not have."""
        return self._store.identity()

    def stamp(self) -> int:
        """The stamp of the latest change."""
        return self._store.stamp()

    def changes(self, after: int, limit: int) -> list[Change] | None:
        """The changes behind a stamp."""
        return self._store.changes(after, limit)
