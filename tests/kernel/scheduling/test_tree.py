"""The tree of heaps by itself."""

from __future__ import annotations

import gc
import weakref
from typing import Any

import pytest

from aios_kernel.scheduling import Policy, RankTree, State, Task
from tests.kernel.scheduling.rig import Rig


class ByEstimate(Policy):
    """Order by estimate, under levels given by the agent's group."""

    def path(self, task: Task) -> tuple[Any, ...]:
        return tuple(task.agent.group.split("/")) if task.agent.group else ()

    def rank(self, task: Task, now: float) -> Any:
        return (*(0 for _ in self.path(task)), task.estimate) if self.path(task) else task.estimate


def waiting(rig: Rig, tree: RankTree, *costs: Any, group: str = "") -> list[Task]:
    """Put tasks of those ranks in."""
    tasks = [rig.task(f"agent{group}", cost, group=group) for cost in costs]
    for task in tasks:
        tree.add(task, 0.0)
        task.state = State.WAITING
    return tasks


def test_an_empty_tree_holds_on_to_no_task() -> None:
    """Stale entries do not keep finished tasks, and what hangs on them, alive."""
    tree, rig = RankTree(ByEstimate()), Rig(ByEstimate())
    kept = []
    for group in ("", "a/b", "a/c"):
        tasks = waiting(rig, tree, 3, 1, 2, group=group)
        kept += [weakref.ref(task) for task in tasks]
        for task in tasks:
            tree.discard(task)
    rig.tasks.clear()
    del task, tasks
    gc.collect()
    assert [ref() for ref in kept] == [None] * 9


def test_a_rank_that_does_not_compare_leaves_the_tree_as_it_was() -> None:
    """The one task is refused; the others are found in order, whether it had been the first or the last."""
    tree, rig = RankTree(ByEstimate()), Rig(ByEstimate())
    one, two = waiting(rig, tree, 1, 2)
    for wrong in ("x", None, {}):
        with pytest.raises(TypeError):
            waiting(rig, tree, wrong)
    assert len(tree) == 2
    assert tree.first(0.0) is one
    tree.discard(one)
    assert tree.first(0.0) is two


def test_an_unhashable_key_leaves_the_tree_as_it_was() -> None:
    """A path that is no path fails its own task only."""

    class Unhashable(ByEstimate):
        def path(self, task: Task) -> tuple[Any, ...]:
            return ("ok", []) if task.estimate == 9 else ("ok",)

        def rank(self, task: Task, now: float) -> Any:
            return (0, 0, 0) if task.estimate == 9 else (0, task.estimate)

    tree, rig = RankTree(Unhashable()), Rig(ByEstimate())
    (one,) = waiting(rig, tree, 1)
    with pytest.raises(TypeError):
        waiting(rig, tree, 9)
    assert tree.first(0.0) is one
    tree.discard(one)
    assert tree.first(0.0) is None


def test_ranks_that_turn_incomparable_lose_nobody() -> None:
    """When the order cannot be known any more, everybody is still found, each once."""

    class Turncoat:
        """Compares until it is told not to."""

        agreeable = True

        def __lt__(self, other: object) -> bool:
            if not Turncoat.agreeable:
                raise RuntimeError("no more")
            return False

    tree, rig = RankTree(ByEstimate()), Rig(ByEstimate())
    tasks = waiting(rig, tree, *(Turncoat() for _ in range(5)))
    tree.discard(tasks[0])
    Turncoat.agreeable = False
    order = []
    while (first := tree.first(0.0)) is not None:
        order.append(first)
        tree.discard(first)
    Turncoat.agreeable = True
    assert sorted(order, key=lambda task: task.seq) == tasks[1:]


def test_a_rank_of_the_wrong_length_is_a_type_error() -> None:
    """The message says how many components there must be."""

    class Short(ByEstimate):
        def rank(self, task: Task, now: float) -> Any:
            return (1,)

    tree, rig = RankTree(Short()), Rig(ByEstimate())
    with pytest.raises(TypeError, match=r"tuple of 3 .* got \(1,\)"):
        waiting(rig, tree, 1, group="a/b")


def test_many_changes_of_rank_do_not_make_the_heap_grow() -> None:
    """Stale entries are dropped once they outnumber the live ones."""

    class Moving(Policy):
        place = 0

        def path(self, task: Task) -> tuple[Any, ...]:
            return (task.process.pid,)

        def rank(self, task: Task, now: float) -> Any:
            Moving.place += 1
            return (Moving.place, 0)

    tree, rig = RankTree(Moving()), Rig(ByEstimate())
    tasks = waiting(rig, tree, *range(20))
    for _ in range(500):
        for task in tasks[:3]:
            tree.refresh(task, 0.0)
    assert len(tree._root.heap) <= 65
    assert len(tree._root.children[tasks[0].process.pid].heap) <= 65
