"""The vectors of a SQLite store in memory, kept up with what this and other processes write."""

from __future__ import annotations

import threading
from collections import OrderedDict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from aios_kernel.store.vectors import Matrix, make_matrix

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Collection, Sequence

__all__ = ["Matrices"]


@dataclass(slots=True)
class _Held:
    matrix: Matrix = field(default_factory=make_matrix)
    stamp: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)


class Matrices:
    """One matrix per collection and space; those not asked for the longest go first when memory is short."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._held: OrderedDict[tuple[int, str], _Held] = OrderedDict()
        self._lock = threading.Lock()

    def nearest(
        self,
        run: sqlite3.Connection,
        home: int,
        space: str,
        vector: Sequence[float],
        k: int,
        among: Collection[int] | None,
    ) -> list[tuple[int, float]]:
        """Numbers and products of the nearest records, of all that was committed when this was called."""
        held = self._take(home, space)
        with held.lock:
            self._catch_up(run, held, home, space)
            found = held.matrix.nearest(vector, k, among)
        self._shrink(keep=(home, space))
        return found

    def clear(self) -> None:
        """Forget all of it."""
        self._held, self._lock = OrderedDict(), threading.Lock()

    def _take(self, home: int, space: str) -> _Held:
        with self._lock:
            held = self._held.setdefault((home, space), _Held())
            self._held.move_to_end((home, space))
            return held

    def _catch_up(self, run: sqlite3.Connection, held: _Held, home: int, space: str) -> None:
        run.execute("BEGIN")  # one look for all of it
        try:
            counters = dict(run.execute("SELECT name, value FROM counters").fetchall())
            if counters["stamp"] == held.stamp:
                return
            if held.stamp < counters["forgotten"]:
                held.matrix, held.stamp = make_matrix(), 0
            for (number,) in run.execute(
                "SELECT number FROM removed WHERE collection = ? AND stamp > ?", (home, held.stamp)
            ):
                held.matrix.drop(number)
            for number, own, data in run.execute(
                "SELECT number, space, vector FROM records WHERE collection = ? AND stamp > ?", (home, held.stamp)
            ):
                if data is None or own != space:
                    held.matrix.drop(number)
                else:
                    held.matrix.set(number, data)
            held.stamp = counters["stamp"]
        finally:
            run.execute("COMMIT")

    def _shrink(self, keep: tuple[int, str]) -> None:
        with self._lock:
            total = sum(held.matrix.bytes for held in self._held.values())
            for key in list(self._held):
                if total <= self._limit:
                    return
                if key != keep:
                    total -= self._held.pop(key).matrix.bytes
