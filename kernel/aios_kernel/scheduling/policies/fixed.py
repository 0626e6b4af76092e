"""Fixed order: agents one after the other, each with all its requests."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aios_kernel.scheduling.policy import Policy

if TYPE_CHECKING:
    from collections.abc import Sequence

    from aios_kernel.scheduling.task import Task

__all__ = ["Fixed", "names_of"]


def names_of(names: Sequence[str] | str) -> list[str]:
    """Return a list of names, also from the form it has in a policy's spec: `a|b|c`."""
    return [name.strip() for name in names.split("|") if name.strip()] if isinstance(names, str) else list(names)


class Fixed(Policy):
    """Run agents in the order of their names in `order`, the others after them in the order of their pids.

    An agent that never stops asking keeps those behind it waiting for ever.
    """

    name = "fixed"
    starvation_free = False

    def __init__(self, order: Sequence[str] | str = ()) -> None:
        self.order = {name: place for place, name in reversed(list(enumerate(names_of(order))))}

    def rank(self, task: Task, now: float) -> tuple[int, int]:
        """Return the agent's place in the order."""
        return self.order.get(task.process.name, len(self.order)), task.process.pid
