"""Who is calling: the name that AssistantAgent hands down, else the agent whose message handler runs."""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any

from aios_adapters.calls import astepped, closing
from aios_adapters.identity import framework_agent
from aios_kernel.abi import Agent

__all__ = ["FRAMEWORK", "own", "own_steps", "resolve", "steps", "whole"]

FRAMEWORK = "autogen"
Function = Callable[..., Any]


def resolve() -> Agent | None:
    """Read the agent from the message handler that runs; None outside a runtime."""
    found = _handling()
    if found is None:
        return None
    # A team registers its participants as "name_team", with the team as the key.
    return Agent(name=found.type.removesuffix(f"_{found.key}"), framework=FRAMEWORK, instance=found.key)


def steps(native: Function) -> Function:
    """Run the steps of an asynchronous generator as the agent that `agent_name=` names."""

    async def call(*args: Any, **kwargs: Any) -> AsyncIterator[Any]:
        name = kwargs.get("agent_name")
        async with closing(astepped(lambda: native(*args, **kwargs), lambda: _scope(name))) as items:
            async for item in items:
                yield item

    return call


def whole(native: Function) -> Function:
    """Run a coroutine as the agent that `agent_name=` names."""

    async def call(*args: Any, **kwargs: Any) -> Any:
        with _scope(kwargs.get("agent_name")):
            return await native(*args, **kwargs)

    return call


def own(native: Function) -> Function:
    """Run a coroutine method as the agent it belongs to."""

    async def call(self: Any, *args: Any, **kwargs: Any) -> Any:
        with _scope(self.name):
            return await native(self, *args, **kwargs)

    return call


def own_steps(native: Function) -> Function:
    """Run the steps of an agent's asynchronous generator as that agent: outside a team no handler names it."""

    async def call(self: Any, *args: Any, **kwargs: Any) -> AsyncIterator[Any]:
        made = lambda: native(self, *args, **kwargs)  # noqa: E731
        async with closing(astepped(made, lambda: _scope(self.name))) as items:
            async for item in items:
                yield item

    return call


def _scope(name: str | None) -> AbstractContextManager[Any]:
    if name is None:
        return nullcontext()
    found = _handling()
    return framework_agent(name, framework=FRAMEWORK, instance="" if found is None else found.key)


def _handling() -> Any:
    module: Any = sys.modules.get("autogen_core")
    if module is None:
        return None
    try:
        return module.MessageHandlerContext.agent_id()
    except RuntimeError:  # outside a runtime
        return None
