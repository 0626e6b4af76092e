"""Who is calling: the name of the running graph, else what the step's config says."""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from typing import Any

from aios_adapters.calls import astepped, closing, stepped
from aios_adapters.identity import AgentScope, framework_agent
from aios_kernel.abi import Agent

__all__ = ["FRAMEWORK", "astream", "resolve", "stream"]

FRAMEWORK = "langchain"
UNNAMED = "LangGraph"  # what LangGraph calls a graph without a name
#: Nodes of the prebuilt agents: steps of one agent, not agents.
_STEPS = frozenset({"agent", "model", "tools", "generate_structured_response", "pre_model_hook", "post_model_hook"})
_MIDDLEWARE = (".before_agent", ".before_model", ".after_model", ".after_agent")

Function = Callable[..., Any]
Json = Mapping[str, Any]


def resolve() -> Agent | None:
    """Read the agent from the config that LangChain keeps for the running step; None outside any graph."""
    config = _running()
    metadata: Json = config.get("metadata") or {}
    name = metadata.get("lc_agent_name") or _node(metadata)
    return Agent(name=name, framework=FRAMEWORK, instance=_thread(config)) if name else None


def stream(native: Function) -> Function:
    """Run a named graph's steps as the agent of its name."""

    def stream(self: Any, *args: Any, **kwargs: Any) -> Iterator[Any]:
        scope = _scope(self, args, kwargs)
        if scope is None:
            yield from native(self, *args, **kwargs)
        else:
            yield from stepped(lambda: native(self, *args, **kwargs), scope)

    return stream


def astream(native: Function) -> Function:
    """Run a named graph's steps as the agent of its name, in the caller's event loop."""

    async def astream(self: Any, *args: Any, **kwargs: Any) -> AsyncIterator[Any]:
        scope = _scope(self, args, kwargs)
        made = native(self, *args, **kwargs)
        async with closing(made if scope is None else astepped(lambda: made, scope)) as parts:
            async for part in parts:
                yield part

    return astream


def _scope(graph: Any, args: tuple[Any, ...], kwargs: Json) -> Callable[[], AgentScope] | None:
    """A scope for each step: `create_react_agent(name=...)` tells its name to nobody but the graph."""
    name = getattr(graph, "name", None)
    if not name or name == UNNAMED:
        return None
    given = args[1] if len(args) > 1 else kwargs.get("config")
    configs = (given, getattr(graph, "config", None), _running())
    thread = next((found for config in configs if config and (found := _thread(config))), "")
    return lambda: framework_agent(name, framework=FRAMEWORK, instance=thread)


def _running() -> Json:
    module: Any = sys.modules.get("langchain_core.runnables.config")
    return (module.var_child_runnable_config.get() or {}) if module is not None else {}


def _thread(config: Json) -> str:
    for part in (config.get("configurable"), config.get("metadata")):
        if part and part.get("thread_id") is not None:
            return str(part["thread_id"])
    return ""


def _node(metadata: Json) -> str | None:
    """The innermost node that is not a step of a prebuilt agent; "researcher:id|model:id" is the researcher."""
    namespace = metadata.get("langgraph_checkpoint_ns") or metadata.get("langgraph_node")
    if not namespace:
        return None
    nodes = [part.partition(":")[0] for part in str(namespace).split("|")]
    return next((node for node in reversed(nodes) if not _is_step(node)), UNNAMED)


def _is_step(node: str) -> bool:
    return node in _STEPS or node.endswith(_MIDDLEWARE) or node.isdigit()
