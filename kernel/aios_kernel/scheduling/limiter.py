"""What holds a run queue back: how many may run, and when the next one may start."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from aios_kernel.abi import Usage
    from aios_kernel.scheduling.task import Task

__all__ = ["NOW", "WHEN_RELEASED", "Both", "FixedLimiter", "Limiter", "Outcome"]

NOW = 0.0
WHEN_RELEASED = math.inf


@dataclass(frozen=True, slots=True)
class Outcome:
    """How an attempt ended.

    `pushed_back` marks that the endpoint refused it for load; `status` and `retry_after` (seconds, None when it did
    not say) are its answer. `usage` is None when the caller could not tell.
    """

    usage: Usage | None = None
    pushed_back: bool = False
    status: int = 0
    retry_after: float | None = None
    error: BaseException | None = None


class Limiter(Protocol):
    """Decide when the task at the head of a queue may start.

    Called by the run queue, one message at a time; must not block. `running` counts the granted tasks, the task in
    question not included.
    """

    def delay(self, task: Task, running: int, now: float) -> float:
        """Return seconds until the task may start: NOW, a time to ask again after, or WHEN_RELEASED."""
        ...

    def started(self, task: Task, now: float) -> None:
        """Note that the task runs: reserve what it is expected to use."""
        ...

    def ended(self, task: Task, outcome: Outcome, running: int, now: float) -> None:
        """Note that the task's attempt is over: give back the reservation, reconcile, learn from the outcome."""
        ...

    def status(self) -> dict[str, Any]:
        """Describe the limits in force, for people."""
        ...


class FixedLimiter:
    """Let at most `limit` tasks run at once; None lets all."""

    def __init__(self, limit: int | None = None) -> None:
        if limit is not None and limit < 1:
            message = f"the limit of calls in flight is {limit}: use 1 or more, or None for no limit"
            raise ValueError(message)
        self.limit = limit

    def delay(self, task: Task, running: int, now: float) -> float:
        """Return NOW while fewer than `limit` run."""
        del task, now
        return NOW if self.limit is None or running < self.limit else WHEN_RELEASED

    def started(self, task: Task, now: float) -> None:
        """Nothing to reserve."""

    def ended(self, task: Task, outcome: Outcome, running: int, now: float) -> None:
        """Nothing to give back."""

    def status(self) -> dict[str, Any]:
        """Describe the limit."""
        return {"limit": self.limit}


class Both:
    """Keep a core's own limits and those it was given beside them: a task starts when both let it."""

    def __init__(self, own: Limiter, given: Limiter) -> None:
        self.own, self.given = own, given

    @property
    def lendable(self) -> bool:
        """Whether a nested call may borrow the slot of the call that it runs inside of."""
        return getattr(self.own, "lendable", True)

    def delay(self, task: Task, running: int, now: float) -> float:
        """Return the later of the two times."""
        return max(self.own.delay(task, running, now), self.given.delay(task, running, now))

    def started(self, task: Task, now: float) -> None:
        """Note it in both."""
        self.own.started(task, now)
        self.given.started(task, now)

    def ended(self, task: Task, outcome: Outcome, running: int, now: float) -> None:
        """Note it in both."""
        self.own.ended(task, outcome, running, now)
        self.given.ended(task, outcome, running, now)

    def status(self) -> dict[str, Any]:
        """Describe both; what they both name is the given one's."""
        return {**self.own.status(), **self.given.status()}
