"""LRU-K against a model that keeps every access for ever and sorts."""

from __future__ import annotations

import random
from collections import OrderedDict
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aios_kernel.memory.lru_k import LRUK


class Model:
    """All accesses since an item was last forgotten; the next to go is found by looking at all of them."""

    def __init__(self, k: int, remembered: int) -> None:
        self.k, self.remembered, self.now = k, remembered, 0
        self.accesses: dict[Any, list[int]] = {}
        self.present: set[Any] = set()
        self.out: list[Any] = []

    def touch(self, item: Any) -> None:
        self.now += 1
        if item in self.out:
            self.out.remove(item)
        self.accesses.setdefault(item, []).append(self.now)
        self.present.add(item)

    def put_out(self, keep: Any) -> Any:
        others = [item for item in self.present if item != keep]
        if not others:
            return None
        chosen = min(others, key=self._age)
        self.lift(chosen)
        return chosen

    def lift(self, chosen: Any) -> None:
        if chosen not in self.present:
            return
        self.present.remove(chosen)
        self.out.append(chosen)
        for old in self.out[: max(0, len(self.out) - self.remembered)]:
            self.out.remove(old)
            del self.accesses[old]

    def forget(self, item: Any) -> None:
        self.present.discard(item)
        self.accesses.pop(item, None)
        if item in self.out:
            self.out.remove(item)

    def _age(self, item: Any) -> tuple[float, int]:
        times = self.accesses[item]
        return (times[-self.k] if len(times) >= self.k else float("-inf")), times[-1]


items = st.integers(0, 6)
steps = st.lists(
    st.one_of(
        st.tuples(st.just("touch"), items),
        st.tuples(st.just("touch"), items),
        st.tuples(st.just("put_out"), st.none() | items),
        st.tuples(st.just("forget"), items),
        st.tuples(st.just("lift"), items),
    ),
    max_size=120,
)


@settings(max_examples=400, deadline=None)
@given(k=st.integers(1, 4), remembered=st.integers(0, 4), steps=steps)
def test_like_the_model(k: int, remembered: int, steps: list[tuple[str, Any]]) -> None:
    """Whatever happens, the same item goes next."""
    lru, model = LRUK(k, remembered), Model(k, remembered)
    for step, item in steps:
        assert getattr(lru, step)(item) == getattr(model, step)(item)
        assert len(lru) == len(model.present)


def test_a_scan_does_not_put_out_what_is_used() -> None:
    """Items asked for again and again stay while many are read once; LRU would lose them."""

    def hits(k: int) -> int:
        lru, there, count = LRUK(k), OrderedDict[Any, None](), 0
        random_ = random.Random(1)
        for at in range(4000):
            item = random_.randrange(8) if at % 2 else 1000 + at
            count += item in there
            there[item] = None
            lru.touch(item)
            if len(there) > 10:
                del there[lru.put_out()]
        return count

    assert hits(2) > 1.3 * hits(1)


def test_memory_is_bounded() -> None:
    """A million accesses of a few items leave no more behind than a few."""
    lru = LRUK(2, remembered=5)
    for at in range(20_000):
        lru.touch(at % 50 if at % 3 else at)
        if len(lru) > 20:
            lru.put_out()
    assert len(lru._heap) < 300
    assert len(lru._past) <= 5


def test_k_has_to_be_one_or_more() -> None:
    """There is no LRU-0."""
    with pytest.raises(ValueError, match="use 1"):
        LRUK(0)
