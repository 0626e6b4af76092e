"""Exact search in vectors: one matrix per collection and space, with numpy where it is installed, else without."""

from __future__ import annotations

import heapq
import math
import operator
import sys
import threading
from array import array
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Sequence

__all__ = ["Matrix", "load_numpy", "make_matrix", "normalised", "pack", "unpack"]

_loading = threading.Lock()
FIRST_ROWS = 64
EXACT = 1e-6  # 32-bit numbers are no more exact than this


def pack(vector: Sequence[float]) -> bytes:
    """Return a vector as it is stored: 32-bit floats, little-endian."""
    numbers = array("f", vector)
    if sys.byteorder == "big":
        numbers.byteswap()
    return numbers.tobytes()


def unpack(data: bytes) -> tuple[float, ...]:
    """Return a stored vector."""
    numbers = array("f", data)
    if sys.byteorder == "big":
        numbers.byteswap()
    return tuple(numbers)


def normalised(vector: Sequence[float]) -> tuple[float, ...]:
    """Return a vector of length 1 in the same direction; zeros stay zeros."""
    length = math.hypot(*vector)
    if abs(length - 1) < EXACT:
        return tuple(vector)
    return tuple(number / length for number in vector) if length and math.isfinite(length) else (0.0,) * len(vector)


def load_numpy() -> Any:
    """Return numpy, None where it is not installed; whoever imports what imports numpy calls this first.

    Two threads that come to it by different modules at the same time see it half made: Python would rather hand out that than
    have them wait for each other for ever.
    """
    with _loading:
        try:
            import numpy as np
        except ImportError:
            return None
        return np


def make_matrix() -> Matrix:
    """Return an empty matrix of the fastest kind there is."""
    numpy = load_numpy()
    return Matrix() if numpy is None else NumpyMatrix(numpy)


class Matrix:
    """Vectors by record number, compared one by one: slow, but needs nothing installed. Not safe among threads."""

    def __init__(self) -> None:
        self._rows: dict[int, array[float]] = {}

    def __len__(self) -> int:
        return len(self._rows)

    @property
    def bytes(self) -> int:
        """Memory the vectors take."""
        return sum(row.itemsize * len(row) for row in self._rows.values())

    def set(self, number: int, data: bytes) -> None:
        """Keep a vector, in place of what the number had."""
        self._rows[number] = array("f", unpack(data))

    def drop(self, number: int) -> None:
        """Forget a number, if it is there."""
        self._rows.pop(number, None)

    def nearest(self, vector: Sequence[float], k: int, among: Collection[int] | None = None) -> list[tuple[int, float]]:
        """The `k` numbers with the largest products, largest first; those of equal products oldest first."""
        # Rounded to what the stored vectors are, so that both kinds of matrix answer alike.
        asked = array("f", vector)
        wanted = self._rows if among is None else self._rows.keys() & among
        scored = ((self._product(asked, number), -number) for number in wanted)
        best = heapq.nlargest(k, (pair for pair in scored if pair[0] is not None))
        return [(-number, score) for score, number in best]

    def _product(self, vector: array[float], number: int) -> Any:
        row = self._rows[number]
        return sum(map(operator.mul, row, vector)) if len(row) == len(vector) else None


class NumpyMatrix(Matrix):
    """The same in one block of memory and one product per search."""

    def __init__(self, numpy: Any) -> None:
        super().__init__()
        self._np = numpy
        self._block: Any = None
        self._numbers: Any = numpy.zeros(FIRST_ROWS, dtype=numpy.int64)
        self._places: dict[int, int] = {}

    def __len__(self) -> int:
        return len(self._places)

    @property
    def bytes(self) -> int:
        """Memory the vectors take."""
        return 0 if self._block is None else int(self._block.nbytes)

    def set(self, number: int, data: bytes) -> None:
        """Keep a vector, in place of what the number had."""
        row = self._np.frombuffer(data, dtype="<f4")
        if self._block is None:
            self._block = self._np.zeros((FIRST_ROWS, len(row)), dtype=self._np.float32)
        if len(row) != self._block.shape[1]:
            self.drop(number)
            return
        place = self._places.get(number)
        if place is None:
            place = self._places[number] = len(self._places)
            if place == len(self._block):
                self._grow()
        self._block[place] = row
        self._numbers[place] = number

    def drop(self, number: int) -> None:
        """Forget a number, if it is there; the last row takes its place."""
        place = self._places.pop(number, None)
        last = len(self._places)
        if place is not None and place != last:
            moved = int(self._numbers[last])
            self._block[place], self._numbers[place] = self._block[last], moved
            self._places[moved] = place

    def nearest(self, vector: Sequence[float], k: int, among: Collection[int] | None = None) -> list[tuple[int, float]]:
        """The `k` numbers with the largest products, largest first; those of equal products oldest first."""
        np, rows = self._np, len(self._places)
        if not rows or len(vector) != self._block.shape[1] or k < 1:
            return []
        numbers, block = self._numbers[:rows], self._block[:rows]
        if among is not None:
            taken = np.fromiter(self._known(among), dtype=np.int64)
            numbers, block = numbers[taken], block[taken]
        scores = block @ np.asarray(vector, dtype=np.float32)
        if k < len(scores):
            # All that tie with the k-th come along, so that their order does not depend on the partition.
            floor = np.partition(scores, len(scores) - k)[len(scores) - k]
            kept = np.flatnonzero(scores >= floor)
            numbers, scores = numbers[kept], scores[kept]
        order = np.lexsort((numbers, -scores))[:k]
        return [(int(numbers[i]), float(scores[i])) for i in order]

    def _known(self, numbers: Iterable[int]) -> list[int]:
        return [self._places[number] for number in numbers if number in self._places]

    def _grow(self) -> None:
        np = self._np
        self._block = np.concatenate([self._block, np.zeros_like(self._block)])
        self._numbers = np.concatenate([self._numbers, np.zeros_like(self._numbers)])
