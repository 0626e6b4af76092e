"""FIFO: requests in the order in which they came, whoever made them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aios_kernel.scheduling.policy import Policy

if TYPE_CHECKING:
    from aios_kernel.scheduling.task import Task

__all__ = ["Fifo"]


class Fifo(Policy):
    """Run requests in order of arrival."""

    name = "fifo"

    def rank(self, task: Task, now: float) -> int:
        """Return the number of arrival."""
        return task.seq
