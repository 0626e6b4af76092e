"""The scheduler's record of one syscall."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable

    from aios_kernel.abi import Agent
    from aios_kernel.clock import Timer
    from aios_kernel.holds import Hold
    from aios_kernel.process import Process

__all__ = ["State", "Task"]


class State(Enum):
    """Where a task is; it moves forward only, except RUNNING -> WAITING when its attempt was pushed back."""

    NEW = "new"
    WAITING = "waiting"
    RUNNING = "running"
    DONE = "done"


class _WeaklyReferable:
    # Python 3.10 has no dataclass(weakref_slot=True); policies remember who waits without keeping it alive.
    __slots__ = ("__weakref__",)


@dataclass(slots=True, eq=False)
class Task(_WeaklyReferable):
    """One syscall in a run queue.

    `seq` is the order of arrival (kept when the task is queued again); `estimate` is the expected cost and `charged`
    what its policy has been charged so far, both in the resource's unit (tokens for language models, calls for the
    rest). Written only by the run queue that holds the task; `notify` is called once per grant or failure, must not
    block, and returns False when nobody is there any more to be woken.
    """

    seq: int
    process: Process
    resource: str = ""
    kind: str = ""
    label: str = ""
    estimate: float = 1.0
    arrived: float = 0.0
    deadline: float | None = None
    demand: Any = None
    # What was asked and answered, kept only where the kernel records content.
    content: Any = None
    notify: Callable[[], bool] | None = None
    # How a call that a core serves is ended from outside, while it runs.
    kill: Callable[[BaseException], None] | None = None
    # What a check has still to find out; while it is there, the task waits out of line.
    hold: Hold | None = None
    # The agent's settings as the call was made: a later change of group or class must not pull a waiting task about.
    agent: Agent = field(init=False)

    state: State = State.NEW
    error: BaseException | None = None
    granted: float = 0.0
    charged: float = 0.0
    waited: float = 0.0
    attempts: int = 0
    # How many calls of the resource had got through when the latest attempt began, and the one before it.
    mark: int = 0
    mark_before: int = 0
    timer: Timer | None = None
    # The event loop of the caller, 0 for none; `blocks_loop` marks a synchronous call made on that loop's thread.
    loop_id: Hashable = 0
    blocks_loop: bool = False
    # Open tasks of the same resource that this call runs inside of; it may borrow the slot of one of them.
    ancestors: tuple[Task, ...] = ()
    borrower: Task | None = None
    lender: Task | None = None
    # Kept by the rank tree: the path of keys above the task, and the version of its one live heap entry.
    path: tuple[Hashable, ...] = ()
    version: int = 0

    def __post_init__(self) -> None:
        self.agent = self.process.agent
