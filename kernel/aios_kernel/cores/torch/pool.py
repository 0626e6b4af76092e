"""The key/value pool: slots in slabs, one size class per slab, under one budget in bytes."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["Geometry", "Pool", "Slab", "Slot"]

ALIGN = 64  # attention reads keys in multiples of this, so a capacity is one too
SLAB_SLOTS = 16
SLAB_TOKENS = 8192  # a slab of long slots has fewer of them


@dataclass(frozen=True, slots=True)
class Geometry:
    """The shape of a model's keys and values: (heads, key width, value width) per layer, dtype and device."""

    layers: tuple[tuple[int, int, int], ...]
    dtype: torch.dtype
    device: torch.device
    context: int

    @property
    def token_bytes(self) -> int:
        """Bytes of one token's keys and values over all layers."""
        return sum(heads * (key + value) for heads, key, value in self.layers) * self.dtype.itemsize

    def capacity(self, tokens: int) -> int:
        """Return the size class for so many tokens: steps of about 1.4, which wastes a sixth on average."""
        size = ALIGN * 2
        while size < tokens:
            size = _aligned(size * 3 // 2) if size & (size - 1) == 0 else _aligned(size * 4 // 3)
        return min(size, _aligned(self.context))

    def slot_bytes(self, tokens: int) -> int:
        """Bytes of the slot that holds so many tokens."""
        return self.capacity(tokens) * self.token_bytes

    def largest(self, budget: int) -> int:
        """Return the most tokens that one slot may hold under a budget of bytes."""
        best, size = 0, 1
        while size <= self.context:
            capacity = self.capacity(size)
            if capacity * self.token_bytes > budget:
                break
            best, size = min(capacity, self.context), capacity + 1
        return best


def _aligned(tokens: int) -> int:
    return -(-tokens // ALIGN) * ALIGN


@dataclass(slots=True, eq=False)
class Slab:
    """A few slots of one capacity: keys and values per layer as (slots, heads, capacity, width), zeroed at birth.

    Zeroed because attention reads padding under a mask, and a NaN there would pass through the mask.
    """

    number: int
    capacity: int
    slots: int
    size: int
    keys: list[torch.Tensor] = field(repr=False)
    values: list[torch.Tensor] = field(repr=False)
    free: list[int] = field(default_factory=list[int])


@dataclass(slots=True, eq=False)
class Slot:
    """Room for the keys and values of one sequence; `row` is its place in the slab."""

    slab: Slab
    row: int

    @property
    def capacity(self) -> int:
        """Tokens it can hold."""
        return self.slab.capacity

    def copy_from(self, other: Slot, tokens: int) -> None:
        """Take over the keys and values of the first `tokens` tokens of another slot."""
        for mine, theirs in ((self.slab.keys, other.slab.keys), (self.slab.values, other.slab.values)):
            for target, source in zip(mine, theirs, strict=True):
                target[self.row, :, :tokens] = source[other.row, :, :tokens]


class Pool:
    """Hand out slots without ever holding more than `budget` bytes.

    Slabs are allocated when a slot is asked for and dropped when they are empty and their bytes are wanted for another
    size. Not locked: only the engine's thread uses it. `allocate` returns None when there is no room now.
    """

    def __init__(self, geometry: Geometry, budget: int) -> None:
        self.geometry = geometry
        self.budget = budget
        self.used = 0
        self._slabs: dict[int, list[Slab]] = {}
        self._taken: set[tuple[int, int]] = set()
        self._count = 0

    def allocate(self, capacity: int) -> Slot | None:
        """Return a slot for `capacity` tokens (a size class), the lowest free one, or None."""
        for slab in self._slabs.get(capacity, ()):
            if slab.free:
                return self._take(slab)
        slab = self._grow(capacity)
        return None if slab is None else self._take(slab)

    def release(self, slot: Slot) -> None:
        """Give a slot back; its contents stay until it is handed out again."""
        key = (slot.slab.number, slot.row)
        if key not in self._taken:
            message = f"slot {key} was released twice"
            raise AssertionError(message)
        self._taken.discard(key)
        slot.slab.free.append(slot.row)
        slot.slab.free.sort(reverse=True)

    def check_integrity(self) -> None:
        """Raise AssertionError unless every slot is either free or taken, and the bytes add up under the budget."""
        used = 0
        for slab in self.slabs():
            taken = {row for number, row in self._taken if number == slab.number}
            used += slab.size
            assert len(set(slab.free)) == len(slab.free), f"slab {slab.number} has a slot free twice"  # noqa: S101
            assert taken | set(slab.free) == set(range(slab.slots)), f"slab {slab.number} lost a slot"  # noqa: S101
            assert not taken & set(slab.free), f"slab {slab.number} has a slot both free and taken"  # noqa: S101
        assert used == self.used, f"{used} bytes in slabs, {self.used} in the books"  # noqa: S101
        assert used <= self.budget, f"{used} bytes allocated, {self.budget} allowed"  # noqa: S101

    def slabs(self) -> Iterable[Slab]:
        """Every slab."""
        return [slab for slabs in self._slabs.values() for slab in slabs]

    @property
    def taken(self) -> int:
        """Slots handed out."""
        return len(self._taken)

    def _take(self, slab: Slab) -> Slot:
        row = slab.free.pop()
        self._taken.add((slab.number, row))
        return Slot(slab, row)

    def _grow(self, capacity: int) -> Slab | None:
        size = capacity * self.geometry.token_bytes
        if self.used + size > self.budget:
            self._drop_empty(self.used + size - self.budget)
        slots = min(SLAB_SLOTS, max(1, SLAB_TOKENS // capacity), (self.budget - self.used) // size)
        if slots < 1:
            return None
        slab = self._make(capacity, slots)
        self._slabs.setdefault(capacity, []).append(slab)
        self.used += slab.size
        return slab

    def _drop_empty(self, wanted: int) -> None:
        for slab in self.slabs():
            if wanted <= 0:
                return
            if len(slab.free) == slab.slots:
                self._slabs[slab.capacity].remove(slab)
                self.used -= slab.size
                wanted -= slab.size

    def _make(self, capacity: int, slots: int) -> Slab:
        geometry, self._count = self.geometry, self._count + 1

        def zeros(heads: int, width: int) -> torch.Tensor:
            return torch.zeros(slots, heads, capacity, width, dtype=geometry.dtype, device=geometry.device)

        return Slab(
            self._count,
            capacity,
            slots,
            slots * capacity * geometry.token_bytes,
            [zeros(heads, key) for heads, key, _ in geometry.layers],
            [zeros(heads, value) for heads, _, value in geometry.layers],
            list(reversed(range(slots))),
        )
