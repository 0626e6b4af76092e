"""A tree of heaps: the waiting tasks of one resource in the policy's order."""

from __future__ import annotations

import heapq
import itertools
from typing import TYPE_CHECKING, Any

from aios_kernel.scheduling.task import State, Task

if TYPE_CHECKING:
    from collections.abc import Hashable, Iterator

    from aios_kernel.scheduling.policy import Policy

__all__ = ["RankTree"]

COMPACT_AT = 64  # a heap with fewer entries is never worth compacting
_versions = itertools.count(1)  # unique, so that two entries never compare their tasks


class _Node:
    """One level of one path: a heap of its children (nodes or tasks), with stale entries left in place."""

    __slots__ = ("children", "first", "heap", "live", "rank", "version")

    def __init__(self, first: int) -> None:
        self.first = first
        self.rank: Any = None
        self.heap: list[tuple[Any, int, int, _Node | Task]] = []
        self.children: dict[Hashable, _Node] = {}
        self.live = 0  # waiting tasks anywhere below
        self.version = 0

    def push(self, child: _Node | Task, rank: Any, order: int) -> None:
        """Put the child in, or at its new place: the entry with the child's latest version is the live one."""
        child.version = next(_versions)
        heapq.heappush(self.heap, (rank, order, child.version, child))

    def push_node(self, child: _Node, rank: Any) -> None:
        """Move a level to its rank; nothing to do when it stands there already."""
        if child.version and child.rank == rank:
            return
        child.rank = rank
        self.push(child, rank, child.first)
        self.compact()

    def top(self) -> _Node | Task | None:
        heap = self.heap
        while heap:
            _, _, version, child = heap[0]
            if version == child.version and _is_live(child):
                return child
            heapq.heappop(heap)
        return None

    def compact(self, *, force: bool = False) -> None:
        """Drop stale entries once they outnumber the live ones."""
        if force or (len(self.heap) > COMPACT_AT and len(self.heap) > 2 * self.live):
            self.heap = [entry for entry in self.heap if entry[2] == entry[3].version and _is_live(entry[3])]
            heapq.heapify(self.heap)


def _is_live(child: _Node | Task) -> bool:
    return child.state is State.WAITING if isinstance(child, Task) else child.live > 0


class RankTree:
    """Keep waiting tasks in the order of a policy; the next one is found in O(levels x log n).

    Not locked: the run queue calls it one message at a time. A task is in the tree exactly while `path` was taken at
    `add` and it has not been through `discard`; an entry whose task is no longer WAITING is stale and is skipped.
    """

    def __init__(self, policy: Policy) -> None:
        self.policy = policy
        self._root = _Node(0)
        self._tasks: dict[Task, None] = {}

    def __len__(self) -> int:
        return len(self._tasks)

    def __iter__(self) -> Iterator[Task]:
        return iter(list(self._tasks))

    def add(self, task: Task, now: float) -> None:
        """Put a WAITING task in at its rank; raises what the policy raises, leaving the tree as it was."""
        path = self.policy.path(task)
        ranks = self._ranks(task, path, now)
        if task in self._tasks:
            return
        task.path = path
        self._tasks[task] = None
        try:
            self._insert(task, path, ranks)
        except BaseException:
            # Ranks that do not compare: no entry of this task may stay and fail the next one too.
            self.discard(task, purge=True)
            raise

    def _insert(self, task: Task, path: tuple[Hashable, ...], ranks: tuple[Any, ...]) -> None:
        levels: list[_Node] = [self._root]
        for key in path:
            child = levels[-1].children.get(key)
            if child is None:
                child = levels[-1].children[key] = _Node(task.seq)
            levels.append(child)
        for node in levels:
            node.live += 1
        for depth, child in enumerate(levels[1:]):
            levels[depth].push_node(child, ranks[depth])
        levels[-1].push(task, ranks[-1], task.seq)

    def discard(self, task: Task, *, purge: bool = False) -> None:
        """Take a task out, if it is in; with `purge` no stale entry of its path is left behind."""
        if task not in self._tasks:
            return
        del self._tasks[task]
        task.version = 0
        node = self._root
        node.live -= 1
        for key in task.path:
            child = node.children[key]
            child.live -= 1
            if child.live == 0:
                child.version = 0
                del node.children[key]
            node.compact(force=purge)
            node = child
        node.compact(force=purge)

    def first(self) -> Task | None:
        """The waiting task that runs next, left in place."""
        node: _Node | Task | None = self._root.top()
        while isinstance(node, _Node):
            node = node.top()
        return node

    def refresh(self, task: Task, now: float) -> None:
        """Move what `task` is charged for, its path and itself, to where the policy ranks it now."""
        path = task.path or self.policy.path(task)
        if not path and task not in self._tasks:
            return
        node = self._root
        for depth, key in enumerate(path):
            child = node.children.get(key)
            if child is None or child.live == 0:
                return
            # Any waiting task below gives the level's component: it depends on the keys down to here only.
            sample = _sample(child)
            if sample is not None:
                node.push_node(child, self._ranks(sample, sample.path, now)[depth])
            node = child
        if task in self._tasks:
            node.push(task, self._ranks(task, path, now)[-1], task.seq)
            node.compact()

    def _ranks(self, task: Task, path: tuple[Hashable, ...], now: float) -> tuple[Any, ...]:
        rank = self.policy.rank(task, now)
        if not path:
            return (rank,)
        if not isinstance(rank, tuple) or len(rank) != len(path) + 1:  # pyright: ignore[reportUnknownArgumentType]
            message = f"rank must be a tuple of {len(path) + 1} (one per key of path, then the task's own), got {rank!r}"
            raise TypeError(message)
        return rank  # pyright: ignore[reportUnknownVariableType]


def _sample(node: _Node) -> Task | None:
    child = node.top()
    while isinstance(child, _Node):
        child = child.top()
    return child
