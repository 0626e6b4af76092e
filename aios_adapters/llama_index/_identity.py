"""Who is calling: the agent whose run, step or tool it is; inside an AgentWorkflow, that workflow tells namesakes apart."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Generator
from typing import Any

from aios_adapters._carried import assigned
from aios_adapters.identity import framework_agent
from aios_adapters.llama_index._leaves import NAME
from aios_adapters.llama_index._tools import code_tool

__all__ = ["call_team_tool", "call_tool", "own", "run", "run_team"]

Function = Callable[..., Any]


def run(native: Function) -> Function:
    """Start an agent as itself: the tasks of its steps take over the context of this call."""

    def run(self: Any, *args: Any, **kwargs: Any) -> Any:
        with framework_agent(self.name, framework=NAME):
            return native(self, *args, **kwargs)

    return run


def run_team(native: Function) -> Function:
    """Start a workflow of agents as its first agent, whose conversation it opens."""

    def run(self: Any, *args: Any, **kwargs: Any) -> Any:
        with framework_agent(self.root_agent, framework=NAME, instance=f"{id(self):x}"):
            return native(self, *args, **kwargs)

    return run


def own(native: Function) -> Function:
    """Run a coroutine method of an agent as that agent."""

    async def call(self: Any, *args: Any, **kwargs: Any) -> Any:
        with framework_agent(self.name, framework=NAME):
            return await native(self, *args, **kwargs)

    return call


def call_tool(native: Function) -> Function:
    """Let an agent use a tool as itself."""

    async def call_tool(self: Any, *args: Any, **kwargs: Any) -> Any:
        with _using(self, args, kwargs):
            return await native(self, *args, **kwargs)

    return call_tool


def call_team_tool(native: Function) -> Function:
    """Let the agent whose turn it is use a tool."""

    async def call_tool(self: Any, *args: Any, **kwargs: Any) -> Any:
        context = args[0] if args else kwargs["ctx"]
        agent = self.agents.get(await context.store.get("current_agent_name", default=""))
        with contextlib.nullcontext() if agent is None else _using(agent, args, kwargs):
            return await native(self, *args, **kwargs)

    return call_tool


@contextlib.contextmanager
def _using(agent: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Generator[None, None, None]:
    """An agent's use of a tool; one that runs the code its model writes has a tool of that name for it."""
    tool = args[1] if len(args) > 1 else kwargs.get("tool")
    runs_code = getattr(agent, "code_execute_fn", None) is not None
    code = tool if runs_code and getattr(tool, "_real_fn", None) is agent.code_execute_fn else None
    with framework_agent(agent.name, framework=NAME), assigned(code_tool, code):
        yield
