"""Weighted fair share by virtual token counters (after "Fairness in Serving Large Language Models", OSDI 2024)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aios_kernel.scheduling.policies.counters import VirtualCounters
from aios_kernel.scheduling.policy import Policy

if TYPE_CHECKING:
    from aios_kernel.scheduling.task import Task

__all__ = ["FairShare"]


class FairShare(Policy):
    """Serve the agent that has had the least cost for its weight; idling earns no credit."""

    name = "wfq"

    def __init__(self) -> None:
        self._counters = VirtualCounters()

    def path(self, task: Task) -> tuple[int]:
        """Return the agent: its tasks stand or fall with its counter."""
        return (task.process.pid,)

    def rank(self, task: Task, now: float) -> tuple[float, int]:
        """Return the agent's counter, and the task's place among the agent's own."""
        return self._counters[task.process.pid], task.seq

    def enter(self, task: Task, now: float) -> None:
        """Lift the counter of an agent that was idle to the virtual time."""
        self._counters.enter(task.process.pid, task, task.agent.weight)

    def charge(self, task: Task, cost: float) -> None:
        """Move the agent's counter on."""
        self._counters.charge(task.process.pid, task, cost, task.agent.weight)
