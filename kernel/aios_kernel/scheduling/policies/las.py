"""Least attained service: the agent whose whole program has used least so far goes first."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

from aios_kernel.errors import ConfigError
from aios_kernel.scheduling.policies.counters import Backlog
from aios_kernel.scheduling.policy import Policy

if TYPE_CHECKING:
    from aios_kernel.process import Process
    from aios_kernel.scheduling.task import Task

__all__ = ["LeastAttained"]


@dataclass(slots=True)
class _Program:
    """What an agent has used in all, and since when it has been waiting without a break."""

    attained: float = 0.0
    since: float = 0.0
    backlog: Backlog = field(default_factory=Backlog)


class LeastAttained(Policy):
    """Serve the agent with the least service so far, so that short programs finish early.

    A steady stream of new agents keeps an old one waiting for ever, unless `aging` (cost per second) is above 0: then
    an agent stands behind those that came `attained / aging` seconds after it began to wait, and no later ones.
    """

    name = "las"

    def __init__(self, aging: float = 0.0) -> None:
        if aging < 0:
            raise ConfigError(f"the aging of least attained service is {aging}: use a cost per second, 0 or more")
        self.aging = aging
        self.starvation_free = aging > 0
        self._programs: WeakKeyDictionary[Process, _Program] = WeakKeyDictionary()

    def path(self, task: Task) -> tuple[int]:
        """Return the agent: service is counted for the program, not for the request."""
        return (task.process.pid,)

    def rank(self, task: Task, now: float) -> tuple[float, int]:
        """Return the agent's service so far, aged, and the task's place among the agent's own."""
        program = self._program(task)
        return program.attained + self.aging * program.since, task.seq

    def enter(self, task: Task, now: float) -> None:
        """Note since when the agent waits."""
        program = self._program(task)
        if not program.backlog:
            program.since = task.arrived
        program.backlog.add(task)

    def charge(self, task: Task, cost: float) -> None:
        """Add to the agent's service."""
        self._program(task).attained += cost

    def _program(self, task: Task) -> _Program:
        program = self._programs.get(task.process)
        if program is None:
            program = self._programs[task.process] = _Program()
        return program
