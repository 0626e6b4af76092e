"""Functions and methods of a program: it is written once, and run in a thread or in an event loop."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Coroutine
from typing import Any, Concatenate, ParamSpec, Protocol, TypeVar

from aios_kernel.abi import Agent
from aios_kernel.agents.steps import Program, arun, run
from aios_kernel.gate import Gate

__all__ = ["afunction", "amethod", "function", "method"]

P = ParamSpec("P")
T = TypeVar("T")
Who = Agent | str | None
_ONLY = inspect.Parameter.POSITIONAL_ONLY


class Bound(Protocol):
    """What methods need of their object."""

    gate: Gate
    agent: Agent | None


def function(program: Callable[Concatenate[Agent | None, P], Program[T]]) -> Callable[Concatenate[Gate, Who, P], T]:
    """A function of a gate, an agent and the program's own arguments."""

    def call(gate: Gate, agent: Who, /, *args: P.args, **kwargs: P.kwargs) -> T:
        return run(gate, program(named(agent), *args, **kwargs))

    return _described(call, program, "gate", "agent")


def afunction(
    program: Callable[Concatenate[Agent | None, P], Program[T]],
) -> Callable[Concatenate[Gate, Who, P], Coroutine[Any, Any, T]]:
    """The same as a coroutine function."""

    async def call(gate: Gate, agent: Who, /, *args: P.args, **kwargs: P.kwargs) -> T:
        return await arun(gate, program(named(agent), *args, **kwargs))

    return _described(call, program, "gate", "agent")


def method(program: Callable[Concatenate[Agent | None, P], Program[T]]) -> Callable[Concatenate[Bound, P], T]:
    """A method of an object that has a gate and an agent."""

    def call(self: Bound, /, *args: P.args, **kwargs: P.kwargs) -> T:
        return run(self.gate, program(self.agent, *args, **kwargs))

    return _described(call, program, "self")


def amethod(
    program: Callable[Concatenate[Agent | None, P], Program[T]],
) -> Callable[Concatenate[Bound, P], Coroutine[Any, Any, T]]:
    """The same as a coroutine function."""

    async def call(self: Bound, /, *args: P.args, **kwargs: P.kwargs) -> T:
        return await arun(self.gate, program(self.agent, *args, **kwargs))

    return _described(call, program, "self")


def named(agent: Who) -> Agent | None:
    """The agent that is meant; None is that of the context."""
    return Agent(name=agent) if isinstance(agent, str) else agent


def _described(call: Any, program: Callable[..., Any], *first: str) -> Any:
    """Give what was bound the program's name and docstring, and the arguments that it takes in fact."""
    functools.update_wrapper(call, program)
    signature = inspect.signature(program)
    own = list(signature.parameters.values())[1:]
    leading = [inspect.Parameter(name, _ONLY) for name in first]
    del call.__wrapped__
    call.__signature__ = signature.replace(parameters=[*leading, *own], return_annotation=inspect.Signature.empty)
    return call
