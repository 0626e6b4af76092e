"""The block: a budget that holds, notes that go and come back, and a model that never forgets to compare with."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from aios_kernel.errors import ConfigError, NoteMissing, VersionConflict
from aios_kernel.memory import MemoryManager
from aios_kernel.memory.block import FULL
from aios_kernel.store import MemoryStore
from tests.kernel.memory.conftest import Rig

BUDGET = 20_000


def test_notes_go_at_four_fifths_and_come_back(rig: Rig):
    """However many notes there are, those in memory stay below 80 % of the budget, and each can be read."""
    rig.start(budget=BUDGET)
    for at in range(60):
        rig.do("ann", "add", id=f"{at}", text="x" * 600)
        status = rig.manager.status()["ann"]
        assert status["bytes"] <= FULL * BUDGET
    assert status["put_out"] == 60 - status["notes"] > 0
    assert status["notes"] >= 10
    for at in range(60):
        assert rig.do("ann", "get", id=f"{at}")["note"]["text"] == "x" * 600
    again = rig.manager.status()["ann"]
    assert again["misses"] >= 60 - status["notes"]
    assert again["bytes"] <= FULL * BUDGET
    rig.do("ann", "get", id="59")
    assert rig.manager.status()["ann"]["hits"] == again["hits"] + 1


def test_k_decides_what_stays(rig: Rig):
    """A note read twice outlives a long row of new ones under LRU-2, and does not under LRU."""
    hits: dict[int, int] = {}
    for k in (1, 2):
        rig.start(budget=BUDGET, k=k, store=MemoryStore())
        rig.do("ann", "add", id="used", text="x" * 600)
        for at in range(50):
            if at % 25 < 2:
                rig.do("ann", "get", id="used")
            rig.do("ann", "add", id=f"{at}", text="x" * 600)
        rig.do("ann", "get", id="used")
        hits[k] = rig.manager.status()["ann"]["hits"]
    assert hits == {1: 3, 2: 5}


def test_agents_have_budgets_of_their_own(rig: Rig):
    """One agent's many notes put out none of another's."""
    rig.start(budget=BUDGET)
    rig.do("ann", "add", id="a", text="x" * 600)
    for at in range(60):
        rig.do("bob", "add", text="x" * 600, id=f"{at}")
    rig.do("ann", "get", id="a")
    assert rig.manager.status()["ann"]["hits"] == 1


def test_a_note_larger_than_the_block(rig: Rig):
    """It is kept all the same, in the store alone; and a budget of nothing keeps nothing in memory."""
    for budget in (0, BUDGET):
        rig.start(budget=budget)
        rig.do("ann", "add", id=f"{budget}", text="x" * BUDGET)
        assert len(rig.do("ann", "get", id=f"{budget}")["note"]["text"]) == BUDGET
        assert rig.manager.status()["ann"]["notes"] == 0
    with pytest.raises(ConfigError):
        MemoryManager(MemoryStore(), budget=-1)


def test_memory_is_given_back(rig: Rig):
    """Changing and removing notes keeps the account straight."""
    rig.start(budget=BUDGET)
    for at in range(10):
        rig.do("ann", "add", id="a" if at == 0 else f"{at}", text="x")
    for at in range(20):
        rig.do("ann", "update", id="a", text="x" * at)
    for at in range(10):
        rig.do("ann", "remove", id="a" if at == 0 else f"{at}")
    status = rig.manager.status()["ann"]
    assert (status["notes"], status["bytes"]) == (0, 0)


names = st.sampled_from(["a", "b", "c", "d", "e"])
agents = st.sampled_from(["ann", "bob"])
steps = st.lists(
    st.tuples(
        st.sampled_from(["add", "update", "get", "get", "remove"]),
        st.integers(0, 1),
        agents,
        names,
        st.integers(0, 900),
    ),
    max_size=40,
)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=steps)
def test_like_a_dictionary(tmp_path_factory: pytest.TempPathFactory, steps: list[tuple[str, int, str, str, int]]):
    """Two managers with tiny blocks over one file answer whatever is done as one dictionary would."""
    path: Path = tmp_path_factory.mktemp("memory") / "m.db"
    import contextlib

    with contextlib.ExitStack() as stack:
        rig = Rig(stack, path)
        kernels = [rig.start(budget=2500)[0] for _ in range(2)]
        model: dict[tuple[str, str], str] = {}
        for verb, which, agent, name, size in steps:
            key, text = (agent, name), "x" * size
            arguments: dict[str, Any] = {"text": text} if verb in ("add", "update") else {}
            try:
                answer = rig.do(agent, verb, kernel=kernels[which], id=name, **arguments)
            except NoteMissing:
                assert key not in model
                continue
            except VersionConflict:
                assert verb == "add"
                assert key in model
                continue
            if verb == "remove":
                assert answer == {"removed": model.pop(key, None) is not None}
            elif verb == "get":
                assert answer["note"]["text"] == model[key]
            else:
                assert (verb == "add") == (key not in model)
                model[key] = text
        held = Counter(agent for agent, _ in model)
        for agent in ("ann", "bob"):
            assert len(rig.do(agent, "list")["notes"]) == held[agent]
