"""Who calls: the agent of the current context, and the calls it is inside of."""

from __future__ import annotations

import sys
from collections.abc import Hashable
from contextvars import ContextVar
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from aios_kernel.abi import Agent
    from aios_kernel.scheduling.task import State

__all__ = ["Caller", "Open", "current_agent", "current_loop", "open_tasks"]

#: The agent that calls of this context belong to; None: the process's root agent.
current_agent: ContextVar[Agent | None] = ContextVar("aios_agent", default=None)
#: Granted calls that this context is inside of, outermost first; ended ones are dropped when the next call is made.
open_tasks: ContextVar[tuple[Open, ...]] = ContextVar("aios_open_tasks", default=())


class Open(Protocol):
    """A granted call as its context remembers it: a task, or the record of a call to a kernel elsewhere."""

    @property
    def state(self) -> State:
        """RUNNING while it is open."""
        ...


@dataclass(frozen=True, slots=True)
class Caller:
    """Where a call comes from: here, or a context of another process that a server speaks for.

    `agent` is whose the call is if it names none; `inside` are the open calls it is made in; `loop_id` names the event
    loop it is made on, 0 for none, and differs from that of every other loop of every process.
    """

    agent: Agent | None = None
    inside: tuple[Open, ...] = ()
    loop_id: Hashable = 0

    @classmethod
    def here(cls) -> Caller:
        """The caller that this context is."""
        return cls(current_agent.get(), open_tasks.get(), current_loop())


def current_loop() -> int:
    """The event loop that runs in this thread, as a number; 0 without one."""
    # asyncio is not imported for a program that does not use it: that alone would double our import time.
    asyncio = sys.modules.get("asyncio.events")
    # The public twin of this function raises where there is no loop, which costs more than the rest of the syscall.
    loop = asyncio._get_running_loop() if asyncio is not None else None  # noqa: SLF001
    return 0 if loop is None else id(loop)
