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

SWEEP_AFTER = 64  # charges; and at least as many as there are accounts


class Backlog:
    """Know whether any task that was added still waits, without keeping a task alive.

    A paused agent's tasks do not count: being paused earns no credit. They are added again when it goes on.
    """

    __slots__ = ("_tasks",)

    def __init__(self) -> None:
        self._tasks: deque[weakref.ref[Task]] = deque()

    def add(self, task: Task) -> None:
        """Note a task that is about to wait."""
        self._tasks.append(weakref.ref(task))

    def __bool__(self) -> bool:
        while self._tasks:
            task = self._tasks[0]()
            if task is not None and task.state is State.WAITING and not task.process.paused:
                return True
            self._tasks.popleft()
        return False


@dataclass(slots=True)
class _Account:
    counter: float
    weight: float = 0.0  # 0 from a sweep that found it idle until it is heard of again
    backlog: Backlog = field(default_factory=Backlog)


class VirtualCounters:
    """Keep a counter per key; who has the smallest has had the least of its share.

    `time` is the virtual time: the counter of whoever was served last, at the start of that service (start-time fair
    queueing), and on by each cost over the weight of all, which is how far an equal share would have brought everybody;
    so ever new keys cannot hold it where it is. A key that comes back from being idle starts there: idling earns no
    credit (VTC's lift). An idle key that it has passed would start there in any case: its account is dropped.
    """

    def __init__(self) -> None:
        self.time = 0.0
        self._accounts: dict[Hashable, _Account] = {}
        self._weights = 0.0
        self._sweep_in = SWEEP_AFTER

    def __len__(self) -> int:
        return len(self._accounts)

    def __getitem__(self, key: Hashable) -> float:
        return self._account(key).counter

    def enter(self, key: Hashable, task: Task, weight: float) -> None:
        """Note that a task of the key is about to wait."""
        account = self._account(key)
        if not account.backlog:
            account.counter = max(account.counter, self.time)
        account.backlog.add(task)
        self._weigh(account, weight)

    def charge(self, key: Hashable, task: Task, cost: float, weight: float) -> None:
        """Move the key's counter on by `cost / weight`, and the time with it."""
        account = self._account(key)
        self._weigh(account, weight)
        # A task's first charge is the start of its service; one that borrowed its slot was served out of order.
        if task.charged == cost and task.lender is None:
            self.time = max(self.time, account.counter)
        account.counter += cost / weight
        self.time += cost / self._weights
        self._sweep_in -= 1
        if self._sweep_in <= 0:
            self._sweep()

    def _account(self, key: Hashable) -> _Account:
        account = self._accounts.get(key)
        if account is None:
            account = self._accounts[key] = _Account(self.time)
        return account

    def _weigh(self, account: _Account, weight: float) -> None:
        self._weights += weight - account.weight
        account.weight = weight

    def _sweep(self) -> None:
        """Drop the accounts that say nothing any more, and leave the idle ones out of the weight of all."""
        for key, account in list(self._accounts.items()):
            if not account.backlog:
                account.weight = 0.0
                if account.counter <= self.time:
                    del self._accounts[key]
        self._weights = sum(account.weight for account in self._accounts.values())
        self._sweep_in = max(SWEEP_AFTER, len(self._accounts))
