"""Virtual counters: how much of its share each agent, group or class has had."""

from __future__ import annotations

import weakref
from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from aios_kernel.scheduling.task import State, Task

if TYPE_CHECKING:
    from collections.abc import Hashable

__all__ = ["Backlog", "VirtualCounters"]

SWEEP_AT = 64  # fewer accounts are never worth a sweep


class Backlog:
    """Know whether any task that was added still waits, without keeping a task alive."""

    __slots__ = ("_tasks",)

    def __init__(self) -> None:
        self._tasks: deque[weakref.ref[Task]] = deque()

    def add(self, task: Task) -> None:
        """Note a task that is about to wait."""
        self._tasks.append(weakref.ref(task))

    def __bool__(self) -> bool:
        while self._tasks:
            task = self._tasks[0]()
            if task is not None and task.state is State.WAITING:
                return True
            self._tasks.popleft()
        return False


@dataclass(slots=True)
class _Account:
    counter: float
    backlog: Backlog = field(default_factory=Backlog)


class VirtualCounters:
    """Keep a counter per key; who has the smallest has had the least of its share.

    `time` is the virtual time: the counter of whoever was served last, at the start of that service (start-time fair
    queueing). A key that comes back from being idle starts there, so idling earns no credit (VTC's lift). An idle key
    whose counter the virtual time has passed would start there in any case: its account is dropped.
    """

    def __init__(self) -> None:
        self.time = 0.0
        self._accounts: dict[Hashable, _Account] = {}
        self._sweep_at = SWEEP_AT

    def __len__(self) -> int:
        return len(self._accounts)

    def __getitem__(self, key: Hashable) -> float:
        return self._account(key).counter

    def enter(self, key: Hashable, task: Task) -> None:
        """Note that a task of the key is about to wait."""
        account = self._account(key)
        if not account.backlog:
            account.counter = max(account.counter, self.time)
        account.backlog.add(task)

    def charge(self, key: Hashable, task: Task, cost: float, weight: float) -> None:
        """Move the key's counter on by `cost / weight`."""
        account = self._account(key)
        # A task's first charge is the start of its service; one that borrowed its slot was served out of order.
        if task.charged == cost and task.lender is None:
            self.time = max(self.time, account.counter)
        account.counter += cost / weight

    def _account(self, key: Hashable) -> _Account:
        account = self._accounts.get(key)
        if account is None:
            if len(self._accounts) >= self._sweep_at:
                self._sweep()
            account = self._accounts[key] = _Account(self.time)
        return account

    def _sweep(self) -> None:
        self._accounts = {k: a for k, a in self._accounts.items() if a.counter > self.time or a.backlog}
        self._sweep_at = max(SWEEP_AT, 2 * len(self._accounts))
