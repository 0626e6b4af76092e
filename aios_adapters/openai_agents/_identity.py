"""Who is calling: the agent that a run starts with, and in each turn the agent whose turn it is."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

from aios_adapters.identity import framework_agent

__all__ = ["NAME", "run", "start", "turn"]

NAME = "openai_agents"
Function = Callable[..., Any]


def run(native: Function) -> Function:
    """Run an agent as itself, down to its session."""

    async def run(self: Any, *args: Any, **kwargs: Any) -> Any:
        with _first(args, kwargs):
            return await native(self, *args, **kwargs)

    return run


def start(native: Function) -> Function:
    """Start a run as its agent: the task of a streamed run takes over the context of this call."""

    def start(self: Any, *args: Any, **kwargs: Any) -> Any:
        with _first(args, kwargs):
            return native(self, *args, **kwargs)

    return start


def turn(native: Function) -> Function:
    """Take a turn as the agent whose turn it is: after a handoff that is another than at the start."""

    async def turn(*args: Any, **kwargs: Any) -> Any:
        bindings = kwargs.get("bindings") or next((one for one in args if hasattr(one, "public_agent")), None)
        with _scope(getattr(bindings, "public_agent", None)):
            return await native(*args, **kwargs)

    return turn


def _first(args: tuple[Any, ...], kwargs: dict[str, Any]) -> AbstractContextManager[Any]:
    return _scope(args[0] if args else kwargs.get("starting_agent"))


def _scope(agent: Any) -> AbstractContextManager[Any]:
    name = getattr(agent, "name", None)
    return framework_agent(name, framework=NAME) if name else contextlib.nullcontext()
