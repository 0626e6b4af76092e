"""Adapter "openai_agents": the OpenAI Agents SDK 0.24; names of agents, function tools and sessions. Its models are the openai SDK's."""

from __future__ import annotations

from aios_adapters.adapter import Adapter
from aios_adapters.openai_agents import _identity, _sessions, _tools
from aios_adapters.patching import Patch
from aios_adapters.versions import framework

__all__ = ["ADAPTER"]

_LOOP = "agents.run_internal.run_loop"
_SESSION = "agents.memory.session"

VERSIONS = framework("openai_agents")

ADAPTER = Adapter(
    name="openai_agents",
    module="agents",
    distribution=VERSIONS.distributions,
    minimum=VERSIONS.minimum,
    tested=VERSIONS.tested,
    patches=[
        Patch(module="agents.run", path="AgentRunner.run", wrap=_identity.run, subclasses=True),
        Patch(module="agents.run", path="AgentRunner.run_sync", wrap=_identity.start, subclasses=True),
        Patch(module="agents.run", path="AgentRunner.run_streamed", wrap=_identity.start, subclasses=True),
        Patch(module=_LOOP, path="run_single_turn", wrap=_identity.turn, aliases=("agents.run:run_single_turn",)),
        Patch(module=_LOOP, path="run_single_turn_streamed", wrap=_identity.turn),
        Patch(
            module="agents.tool",
            path="_invoke_function_tool_with_metadata",
            wrap=_tools.invoke,
            aliases=("agents.run_internal.tool_execution:_invoke_function_tool_with_metadata",),
        ),
        *(
            Patch(module=_SESSION, path=f"SessionABC.{name}", wrap=wrap, subclasses="only")
            for name, wrap in _sessions.METHODS
        ),
    ],
)
