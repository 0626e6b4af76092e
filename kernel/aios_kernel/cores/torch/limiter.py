"""Admission by memory: a request is granted when the keys and values it may need fit the budget."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from aios_kernel.scheduling.limiter import NOW, WHEN_RELEASED, Outcome

if TYPE_CHECKING:
    from aios_kernel.scheduling.task import Task

__all__ = ["KVLimiter"]


class KVLimiter:
    """Reserve prompt plus maximum output of every granted request, so that memory cannot run out half-way.

    Sizes are bytes of key/value memory, from the task's prepared request. The pool keeps the same budget once more:
    this limiter says who may come, the pool never allocates beyond it whatever comes.
    """

    #: A slot of this resource is memory: a nested call cannot borrow it from the call that it runs inside of.
    lendable = False

    def __init__(self, budget: int = 0) -> None:
        self.budget = budget
        self.reserved = 0
        self._held: dict[Task, int] = {}

    def delay(self, task: Task, running: int, now: float) -> float:
        """Return NOW while the request fits beside what is reserved."""
        return NOW if self.reserved + _bytes(task) <= self.budget else WHEN_RELEASED

    def started(self, task: Task, now: float) -> None:
        """Reserve the request's memory."""
        if task not in self._held:
            self._held[task] = _bytes(task)
            self.reserved += self._held[task]

    def ended(self, task: Task, outcome: Outcome, running: int, now: float) -> None:
        """Give the reservation back."""
        self.reserved -= self._held.pop(task, 0)

    def reset(self) -> None:
        """Forget every reservation, in a forked child."""
        self.reserved = 0
        self._held.clear()

    def status(self) -> dict[str, Any]:
        """Describe the budget, in bytes."""
        return {"kv_budget": self.budget, "kv_reserved": self.reserved}


def _bytes(task: Task) -> int:
    return getattr(task.demand, "kv_bytes", 0)
