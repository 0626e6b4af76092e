"""A tree of heaps: the waiting tasks of one resource in the policy's order."""

from __future__ import annotations

import heapq
import itertools
from typing import TYPE_CHECKING, Any

from aios_kernel.logs import logger
from aios_kernel.scheduling.policy import components
from aios_kernel.scheduling.task import State, Task

if TYPE_CHECKING:
    from collections.abc import Hashable, Iterator

    from aios_kernel.scheduling.policy import Policy

__all__ = ["RankTree"]

log = logger(__name__)
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
        before, child.version = child.version, next(_versions)
        try:
            heapq.heappush(self.heap, (rank, order, child.version, child))
        except BaseException:
            # A rank that does not compare: with its entry left in, every later push and pop could fail too.
            self.heap = [entry for entry in self.heap if entry[2] != child.version]
            heapq.heapify(self.heap)
            child.version = before
            raise

    def push_node(self, child: _Node, rank: Any) -> None:
        """Move a level to its rank; nothing to do when it stands there already."""
        if child.version and child.rank == rank:
            return
        self.push(child, rank, child.first)
        child.rank = rank
        self.compact()

    def top(self) -> _Node | Task | None:
        heap = self.heap
        while heap:
            _, _, version, child = heap[0]
            if version == child.version and _is_live(child):
                return child
            heapq.heappop(heap)
        return None

    def compact(self) -> None:
        """Drop stale entries once they outnumber the live ones; an empty level holds on to nothing."""
        if not self.live or (len(self.heap) > COMPACT_AT and len(self.heap) > 2 * self.live):
            self.heap = [entry for entry in self.heap if entry[2] == entry[3].version and _is_live(entry[3])]
            heapq.heapify(self.heap)


def _is_live(child: _Node | Task) -> bool:
    return child.state is State.WAITING if isinstance(child, Task) else child.live > 0


class RankTree:
    """Keep waiting tasks in the order of a policy; the next one is found in O(levels x log n).

    Not locked: the run queue calls it one message at a time. A task is in the tree from `add`, which takes its path,
    to `discard`; an entry whose task is no longer WAITING is stale and is skipped. After an interrupt in the middle of
    a change the levels are built anew from the tasks.
    """

    def __init__(self, policy: Policy) -> None:
        self.policy = policy
        self._root = _Node(0)
        self._tasks: dict[Task, None] = {}
        self._whole = True

    def __len__(self) -> int:
        return len(self._tasks)

    def __iter__(self) -> Iterator[Task]:
        return iter(list(self._tasks))

    def __contains__(self, task: Task) -> bool:
        return task in self._tasks

    def add(self, task: Task, now: float) -> None:
        """Put a task in at its rank; raises what the policy raises, leaving the tree as it was."""
        self._mend(now)
        if task in self._tasks:
            return
        path = self.policy.path(task)
        ranks = components(self.policy, task, path, now)
        task.path = path
        self._whole = False
        self._tasks[task] = None
        try:
            self._insert(task, path, ranks)
        except Exception:
            del self._tasks[task]  # how far it got in depends on what went wrong; the levels are built anew
            raise
        self._whole = True

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

    def discard(self, task: Task) -> None:
        """Take a task out, if it is in."""
        whole, self._whole = self._whole, False
        known = task in self._tasks
        if known:
            del self._tasks[task]
            task.version = 0
        if known and whole:
            self._take_out(task)
        self._whole = whole

    def _take_out(self, task: Task) -> None:
        node = self._root
        node.live -= 1
        for key in task.path:
            child = node.children[key]
            child.live -= 1
            if child.live == 0:
                child.version = 0
                del node.children[key]
            node.compact()
            node = child
        node.compact()

    def first(self, now: float) -> Task | None:
        """The waiting task that runs next, left in place; the oldest where ranks do not compare with each other."""
        self._mend(now)
        try:
            node: _Node | Task | None = self._root.top()
            while isinstance(node, _Node):
                node = node.top()
        except Exception:
            log.exception("ranks of policy %r do not compare; the oldest task goes first", self.policy)
            node = None
        if node is None and self._tasks:
            waiting = (task for task in self._tasks if task.state is State.WAITING)
            return min(waiting, key=lambda task: task.seq, default=None)
        return node

    def refresh(self, task: Task, now: float) -> None:
        """Move what `task` is charged for, its path and itself, to where the policy ranks it now."""
        if not self._tasks:
            return
        self._mend(now)
        waits = task in self._tasks
        path = task.path if waits else self.policy.path(task)
        node = self._root
        for depth, key in enumerate(path):
            child = node.children.get(key)
            if child is None or child.live == 0:
                return
            # Any waiting task below gives the level's component: it depends on the keys down to here only.
            sample = _sample(child)
            if sample is not None:
                node.push_node(child, components(self.policy, sample, sample.path, now)[depth])
            node = child
        if waits:
            node.push(task, components(self.policy, task, path, now)[-1], task.seq)
            node.compact()

    def _mend(self, now: float) -> None:
        """Build the levels anew if an interrupt cut a change short."""
        if self._whole:
            return
        self._root = _Node(0)
        for task in self._tasks:
            task.version = 0
            try:
                self._insert(task, task.path, components(self.policy, task, task.path, now))
            except Exception:  # it stays among the tasks, where `first` finds it in the end
                log.exception("policy %r cannot rank a waiting task again", self.policy)
        self._whole = True


def _sample(node: _Node) -> Task | None:
    child = node.top()
    while isinstance(child, _Node):
        child = child.top()
    return child
