"""Priority with aging: urgent agents first, and nobody waits for ever."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aios_kernel.errors import ConfigError
from aios_kernel.scheduling.policy import Policy

if TYPE_CHECKING:
    from aios_kernel.scheduling.task import Task

__all__ = ["Priority"]


class Priority(Policy):
    """Run requests of more urgent agents first; `interval` seconds of waiting make up for one step of priority.

    Only the arrival is in the key, not the age: the order of two waiting tasks never changes by time alone.
    """

    name = "priority"

    def __init__(self, interval: float = 10.0) -> None:
        if interval < 0:
            raise ConfigError(f"the interval of the priority policy is {interval}: use seconds, 0 or more")
        self.interval = interval

    def rank(self, task: Task, now: float) -> float:
        """Return the arrival, put off by `interval` for each step of priority."""
        return task.agent.priority * self.interval + task.arrived
