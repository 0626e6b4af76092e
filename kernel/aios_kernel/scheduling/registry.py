"""Policies by name (placeholder until the policies land)."""

from __future__ import annotations

from typing import Any

from aios_kernel.errors import UnknownName
from aios_kernel.scheduling.policy import Policy
from aios_kernel.scheduling.task import Task


class _Fifo(Policy):
    name = "fifo"

    def rank(self, task: Task, now: float) -> Any:
        return task.seq


def policy(spec: Policy | str) -> Policy:
    """Return the policy."""
    if isinstance(spec, Policy):
        return spec
    if spec == "fifo":
        return _Fifo()
    raise UnknownName("policy", spec, ["fifo"])
