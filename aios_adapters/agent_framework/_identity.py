"""Who is calling: the agent whose run it is; a streamed run goes on as that agent whenever the next piece is asked for."""

from __future__ import annotations

import contextlib
from collections.abc import Awaitable, Callable
from contextlib import AbstractContextManager
from typing import Any
from weakref import WeakKeyDictionary

from aios_adapters.identity import framework_agent

__all__ = ["NAME", "run", "step"]

NAME = "agent_framework"
Function = Callable[..., Any]
#: The agents of the streams that are under way.
_streams: WeakKeyDictionary[Any, Any] = WeakKeyDictionary()


def run(native: Function) -> Function:
    """Run an agent as itself. Nothing of the run happens yet here: it does when the result is awaited or iterated."""

    def run(self: Any, *args: Any, **kwargs: Any) -> Any:
        made = native(self, *args, **kwargs)
        if hasattr(made, "get_final_response"):
            _streams[made] = self
            return made
        return _whole(self, made)

    return run


def step(native: Function) -> Function:
    """Take a step of a streamed run as its agent; streams of anything else are nobody's."""

    async def step(self: Any, *args: Any, **kwargs: Any) -> Any:
        with _scope(_streams.get(self)):
            return await native(self, *args, **kwargs)

    return step


async def _whole(agent: Any, made: Awaitable[Any]) -> Any:
    with _scope(agent):
        return await made


def _scope(agent: Any) -> AbstractContextManager[Any]:
    """An agent without a name goes by its id, which is new for every agent."""
    if agent is None:
        return contextlib.nullcontext()
    if agent.name:
        return framework_agent(agent.name, framework=NAME)
    return framework_agent(type(agent).__name__, framework=NAME, instance=str(agent.id))
