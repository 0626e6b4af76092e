"""Scheduling classes (placeholder until the policies land)."""

from __future__ import annotations

from typing import Any

from aios_kernel.scheduling.policy import Policy
from aios_kernel.scheduling.task import Task


class Classes(Policy):
    """Placeholder."""

    def __init__(self, default: Policy) -> None:
        self.default = default

    def rank(self, task: Task, now: float) -> Any:
        return self.default.rank(task, now)
