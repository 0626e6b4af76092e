"""Who waits for one resource: in line, aside until a time the endpoint named, or held while the agent is paused."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from aios_kernel.scheduling.tree import RankTree

if TYPE_CHECKING:
    from collections.abc import Iterator

    from aios_kernel.clock import Timer
    from aios_kernel.process import Process
    from aios_kernel.scheduling.policy import Policy
    from aios_kernel.scheduling.task import Task

__all__ = ["WaitingRoom", "differs", "reprioritise"]


class WaitingRoom:
    """The waiting tasks; only those in `line` can be granted, so that nobody else is stepped over at a grant.

    Not locked: the run queue calls it one message at a time. A task on its way from one place to another is put in
    the new one first: after an interrupt it may be in two of them, never in none.
    """

    __slots__ = ("held", "line", "parked")

    def __init__(self, policy: Policy) -> None:
        self.line = RankTree(policy)
        self.parked: dict[Task, Timer] = {}  # not to be started before a time the endpoint named
        self.held: dict[Task, None] = {}  # of paused agents

    def __len__(self) -> int:
        return len(self.line) + len(self.parked) + len(self.held)

    def __iter__(self) -> Iterator[Task]:
        return iter(list(dict.fromkeys([*self.line, *self.parked, *self.held])))

    @property
    def aside(self) -> list[Task]:
        """Tasks that wait out of line."""
        return [*self.parked, *self.held]

    def of(self, process: Process) -> list[Task]:
        """The waiting tasks of one agent, in order of arrival."""
        return sorted((task for task in self if task.process is process), key=lambda task: task.seq)

    def hold(self, task: Task) -> None:
        """Take a task out of line until it is put in again."""
        self.held[task] = None
        self.line.discard(task)

    def forget(self, task: Task) -> None:
        """Drop a task that no longer waits."""
        self.line.discard(task)
        self.held.pop(task, None)
        if (timer := self.parked.pop(task, None)) is not None:
            timer.cancel()


def differs(task: Task) -> bool:
    """Whether the task has another priority than the one that was set for its agent from outside."""
    pinned = task.process.pinned
    return pinned is not None and task.agent.priority != pinned


def reprioritise(task: Task) -> None:
    """Give the task the priority that was set for its agent from outside, if one was."""
    pinned = task.process.pinned
    if pinned is not None and task.agent.priority != pinned:
        task.agent = replace(task.agent, priority=pinned)
