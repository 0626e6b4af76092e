"""The policy interface: a policy is a sort key plus accounting."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

if TYPE_CHECKING:
    from collections.abc import Hashable

    from aios_kernel.scheduling.task import Task

__all__ = ["Policy", "components"]


class Policy:
    """Order the tasks of one resource: the same object orders a queue and the batch of a core.

    A policy says where a task stands and keeps the accounts that this depends on. Calls come one at a time, from the
    run queue that owns the object; nothing here may block. A policy that raises from `path`, `enter` or `rank` fails
    the call it was asked about (`PolicyError`); one that raises from `charge` is reported and the call's result stands.

    The contract that lets the next of many be found without a scan: tasks are kept in a tree of heaps, one level for
    each key of `path(task)`. `rank(task, now)` returns one component per level, root first, then the task's own:
    `len(path) + 1` of them (a policy without a path may return a bare key). The component of a level depends only on
    the keys down to that level and on the accounts; it changes only when a task below it is charged or enters, never
    by the mere passing of time (aging: subtract from the arrival time instead of adding to the age). What an agent
    set for itself is read from `task.agent`, which stays as it was when the call came, not from `task.process.agent`.
    After an interrupt a call of `enter` or `charge` may have come twice or not at all.
    """

    name: ClassVar[str] = ""
    #: Cost after which a running task goes back in line, where the core can put it down; None: it runs to its end.
    quantum: float | None = None
    #: Whether every waiting task is granted eventually as long as grants are given back and cost something.
    starvation_free: bool = True

    def path(self, task: Task) -> tuple[Hashable, ...]:
        """Return the keys of the levels above the task, root first; () when tasks are ordered one by one."""
        del task
        return ()

    def rank(self, task: Task, now: float) -> Any:
        """Return the sort key, smaller runs first; ties go by arrival."""
        raise NotImplementedError

    def enter(self, task: Task, now: float) -> None:
        """Note that a task is about to wait: a new one, or one whose attempt was pushed back; `rank` comes next."""

    def charge(self, task: Task, cost: float) -> None:
        """Account for service: the estimate when the task starts, then the difference to what it really cost.

        The cost is in the resource's unit and may be negative (less was used than reserved).
        """


def components(policy: Policy, task: Task, path: tuple[Hashable, ...], now: float) -> tuple[Any, ...]:
    """Return the task's rank, one component per key of `path` and the task's own; TypeError where some are missing."""
    rank = policy.rank(task, now)
    if not path:
        return (rank,)
    if not isinstance(rank, tuple) or len(rank) != len(path) + 1:  # pyright: ignore[reportUnknownArgumentType]
        message = f"rank must be a tuple of {len(path) + 1} (one per key of path, then the task's own), got {rank!r}"
        raise TypeError(message)
    return rank  # pyright: ignore[reportUnknownVariableType]
