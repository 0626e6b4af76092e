"""Prefix sharing: a new prompt takes over the keys and values of the longest beginning that some slot already holds."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray

    from aios_kernel.cores.torch.pool import Pool, Slot
    from aios_kernel.cores.torch.sequence import Sequence

__all__ = ["PrefixCache", "Retained", "common_prefix"]

WORTHWHILE = 16  # tokens; a shorter beginning is computed as fast as it is copied
MOST_RETAINED = 64


@dataclass(slots=True, eq=False)
class Retained:
    """A slot whose sequence has finished, kept for what it holds: keys and values of `tokens`."""

    tokens: NDArray[np.int64]
    slot: Slot
    used: int
    adapted: bool = True


def common_prefix(one: NDArray[np.int64], other: NDArray[np.int64]) -> int:
    """Return how many tokens two sequences begin with in common."""
    size = min(len(one), len(other))
    different = np.flatnonzero(one[:size] != other[:size])
    return int(different[0]) if len(different) else size


class PrefixCache:
    """Give every new sequence a slot, with as much of its beginning filled in as some other slot holds.

    Slots of finished sequences stay retained until their room is needed, least recently used first, and hold no more
    than half of the pool's budget. Only the engine's thread uses it.
    """

    def __init__(self, pool: Pool, *, enabled: bool = True) -> None:
        self.pool = pool
        self.enabled = enabled
        self.hits = 0  # tokens that were taken over
        self._retained: list[Retained] = []
        self._clock = 0

    def seat(self, sequence: Sequence, resident: Iterable[Sequence]) -> bool:
        """Give the sequence its slot; False when there is no room now."""
        kept, shared, source = self._best(sequence, resident)
        if kept is not None and shared == len(kept.tokens) and kept.slot.capacity >= sequence.request.capacity:
            self._retained.remove(kept)
            sequence.slot = kept.slot
        else:
            if kept is not None:
                kept.used = self._tick()
            slot = self._allocate(sequence.request.capacity)
            if slot is None:
                return False
            sequence.slot = slot
            if source is not None:
                slot.copy_from(source, shared)
        sequence.computed = sequence.cached = shared
        self.hits += shared
        return True

    def is_coming(self, sequence: Sequence, computing: Iterable[tuple[Sequence, int]]) -> bool:
        """Whether waiting one iteration pays: (sequence, tokens it will have computed) holds more of our beginning."""
        if not self.enabled:
            return False
        prompt = sequence.tokens[: sequence.length - 1]
        for other, end in computing:
            if other.request.adapted != sequence.request.adapted:
                continue
            shared = common_prefix(prompt, other.tokens[: other.length])
            if min(shared, end) - min(shared, other.computed) >= WORTHWHILE:
                return True
        return False

    def leave(self, sequence: Sequence) -> None:
        """Take the slot of a sequence that is over; it may be retained."""
        slot, sequence.slot = sequence.slot, None
        if slot is None:
            return
        if not self.enabled or sequence.computed < WORTHWHILE:
            self.pool.release(slot)
            return
        self._retained.append(
            Retained(sequence.tokens[: sequence.computed], slot, self._tick(), sequence.request.adapted)
        )
        while len(self._retained) > MOST_RETAINED or self._bytes() > self.pool.budget // 2:
            self._evict()

    def clear(self) -> None:
        """Give every retained slot back to the pool."""
        while self._retained:
            self._evict()

    @property
    def retained(self) -> int:
        """Slots kept for sequences that are over."""
        return len(self._retained)

    def _best(self, sequence: Sequence, resident: Iterable[Sequence]) -> tuple[Retained | None, int, Slot | None]:
        """Return the retained slot (None if a resident one is better), the shared tokens, and the slot."""
        best: tuple[Retained | None, int, Slot | None] = (None, 0, None)
        if not self.enabled:
            return best
        # The last token of the prompt is always computed: its logits are what the reply begins with.
        prompt = sequence.tokens[: sequence.length - 1]
        adapted = sequence.request.adapted  # with other weights the same tokens have other keys and values
        for kept in self._retained:
            if kept.adapted != adapted:
                continue
            shared = common_prefix(prompt, kept.tokens)
            if shared > max(best[1], WORTHWHILE - 1):
                best = (kept, shared, kept.slot)
        for other in resident:
            if other.slot is not None and other.computed > best[1] and other.request.adapted == adapted:
                shared = common_prefix(prompt, other.tokens[: other.computed])
                if shared > max(best[1], WORTHWHILE - 1):
                    best = (None, shared, other.slot)
        return best

    def _allocate(self, capacity: int) -> Slot | None:
        slot = self.pool.allocate(capacity)
        while slot is None and self._retained:
            self._evict()
            slot = self.pool.allocate(capacity)
        return slot

    def _evict(self) -> None:
        oldest = min(self._retained, key=lambda kept: kept.used)
        self._retained.remove(oldest)
        self.pool.release(oldest.slot)

    def _bytes(self) -> int:
        return sum(kept.slot.capacity for kept in self._retained) * self.pool.geometry.token_bytes

    def _tick(self) -> int:
        self._clock += 1
        return self._clock
