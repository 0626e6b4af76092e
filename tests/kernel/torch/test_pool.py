"""The key/value pool and the limiter before it: never beyond the budget, whatever comes."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from aios_kernel import Agent, Process
from aios_kernel.cores.torch.limiter import KVLimiter
from aios_kernel.cores.torch.pool import Geometry, Pool
from aios_kernel.scheduling import NOW, WHEN_RELEASED, Outcome, Task

SHAPE = Geometry(((2, 4, 4), (2, 4, 8)), torch.float32, torch.device("cpu"), 1000)


@given(st.integers(1, 40), st.lists(st.tuples(st.booleans(), st.integers(1, 1000)), max_size=60))
@settings(max_examples=100, deadline=None)
def test_never_beyond_the_budget(slots: int, moves: list[tuple[bool, int]]) -> None:
    """Any order of taking and giving back keeps every slot accounted for and the bytes under the budget."""
    pool = Pool(SHAPE, slots * SHAPE.slot_bytes(100))
    taken: list[Any] = []
    for take, size in moves:
        if take:
            slot = pool.allocate(SHAPE.capacity(size))
            taken += [] if slot is None else [slot]
        elif taken:
            pool.release(taken.pop(size % len(taken)))
        pool.check_integrity()
        assert pool.used <= pool.budget
    for slot in taken:
        pool.release(slot)
    pool.check_integrity()
    assert pool.allocate(SHAPE.capacity(1)) is not None


@given(st.integers(1, 1000))
def test_a_size_class_holds_what_it_is_for(tokens: int) -> None:
    """A size class is large enough, never more than half empty beyond the smallest, and `largest` agrees with it."""
    capacity = SHAPE.capacity(tokens)
    assert tokens <= capacity <= max(128, 1.5 * tokens + 64)
    assert capacity % 64 == 0
    assert SHAPE.largest(SHAPE.slot_bytes(tokens)) >= tokens
    assert SHAPE.largest(SHAPE.slot_bytes(tokens) - 1) < tokens or capacity > SHAPE.capacity(tokens - 1 or 1)


def test_slots_are_born_zeroed_and_empty_slabs_make_room() -> None:
    """A new slab reads as zeros, and one size gives way to another under the same budget."""
    pool = Pool(SHAPE, SHAPE.slot_bytes(1000))
    small = pool.allocate(SHAPE.capacity(100))
    assert small is not None
    assert all(float(t.abs().sum()) == 0 for t in small.slab.keys + small.slab.values)
    assert pool.allocate(SHAPE.capacity(1000)) is None
    pool.release(small)
    assert pool.allocate(SHAPE.capacity(1000)) is not None
    pool.check_integrity()


def test_a_slot_is_given_back_once() -> None:
    """A second release is a bug and says so."""
    pool = Pool(SHAPE, SHAPE.slot_bytes(1000))
    slot = pool.allocate(SHAPE.capacity(10))
    assert slot is not None
    pool.release(slot)
    with pytest.raises(AssertionError, match="twice"):
        pool.release(slot)


class Demand:
    def __init__(self, kv_bytes: int) -> None:
        self.kv_bytes = kv_bytes


def task(demand: Any) -> Task:
    return Task(1, Process(1, Agent(name="a")), demand=demand)


def test_limiter_reserves_and_gives_back() -> None:
    """A request waits exactly while its bytes do not fit beside the reserved ones."""
    limiter = KVLimiter(100)
    first, second = task(Demand(70)), task(Demand(40))
    assert limiter.delay(first, 0, 0.0) == NOW
    limiter.started(first, 0.0)
    assert limiter.delay(second, 1, 0.0) == WHEN_RELEASED
    limiter.ended(first, Outcome(), 0, 0.0)
    limiter.ended(first, Outcome(), 0, 0.0)
    assert limiter.reserved == 0
    assert limiter.delay(second, 0, 0.0) == NOW
