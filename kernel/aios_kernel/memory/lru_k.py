"""LRU-K: put out first what was asked for the K-th last time the longest ago (O'Neil, O'Neil and Weikum, SIGMOD 1993)."""

from __future__ import annotations

import heapq
from collections import OrderedDict, deque
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Hashable

__all__ = ["LRUK"]

REMEMBERED = 256  # items put out whose accesses are still known


class LRUK:
    """The order in which items are to be put out. Not safe among threads.

    Items with fewer than K accesses go before all others, those not asked for the longest first; K = 1 is LRU. The
    accesses of the latest `remembered` items that were put out are kept, so that one that comes back is not taken for
    new: without this a second access would rarely be seen where memory is short.
    """

    def __init__(self, k: int = 2, remembered: int = REMEMBERED) -> None:
        if k < 1:
            message = f"K is {k}: use 1 (plain LRU) or more"
            raise ValueError(message)
        self.k, self.remembered = k, remembered
        self._time = 0
        self._present: dict[Hashable, deque[int]] = {}
        self._past: OrderedDict[Hashable, deque[int]] = OrderedDict()
        # Entries are (key, item); one whose key is not the item's any more is skipped.
        self._heap: list[tuple[tuple[int, int], Hashable]] = []

    def __len__(self) -> int:
        return len(self._present)

    def touch(self, item: Hashable) -> None:
        """Note an access; an item that was not there is there now."""
        self._time += 1
        times = self._present.get(item)
        if times is None:
            times = self._present[item] = self._past.pop(item, None) or deque(maxlen=self.k)
        times.append(self._time)
        heapq.heappush(self._heap, (self._key(times), item))  # times differ, so items are never compared
        if len(self._heap) > 64 + 4 * len(self._present):
            self._heap = [(self._key(own), name) for name, own in self._present.items()]
            heapq.heapify(self._heap)

    def put_out(self, keep: Hashable = None) -> Hashable | None:
        """Take out the item that is to go first and return it; never `keep`. None where there is no other."""
        spared: tuple[tuple[int, int], Hashable] | None = None
        chosen: Hashable | None = None
        while self._heap and chosen is None:
            entry = heapq.heappop(self._heap)
            times = self._present.get(entry[1])
            if times is None or self._key(times) != entry[0]:
                continue
            if entry[1] == keep:
                spared = entry
            else:
                chosen = entry[1]
        if spared is not None:
            heapq.heappush(self._heap, spared)
        if chosen is not None:
            self.lift(chosen)
        return chosen

    def lift(self, item: Hashable) -> None:
        """Take out this item, if it is there; its accesses are remembered as those of any that was put out."""
        times = self._present.pop(item, None)
        if times is not None:
            self._past[item] = times
            while len(self._past) > self.remembered:
                self._past.popitem(last=False)

    def forget(self, item: Hashable) -> None:
        """Drop an item and all that is known of it."""
        self._present.pop(item, None)
        self._past.pop(item, None)

    def _key(self, times: deque[int]) -> tuple[int, int]:
        """The K-th last access, 0 for none, then the last."""
        return (times[0] if len(times) == self.k else 0, times[-1])
