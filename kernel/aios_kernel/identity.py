"""Who calls: the agent of the current context, and the calls it is inside of."""

from __future__ import annotations

from contextvars import ContextVar
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from aios_kernel.abi import Agent
    from aios_kernel.scheduling.task import Task

__all__ = ["current_agent", "open_tasks"]

#: The agent that calls of this context belong to; None: the process's root agent.
current_agent: ContextVar[Agent | None] = ContextVar("aios_agent", default=None)
#: Granted calls that this context is inside of, outermost first; ended ones are dropped when the next call is made.
open_tasks: ContextVar[tuple[Task, ...]] = ContextVar("aios_open_tasks", default=())
