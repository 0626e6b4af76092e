"""Adapter "agent_framework": Microsoft Agent Framework 1.23; names of agents, tools and histories. Its OpenAI clients are the openai SDK's."""

from __future__ import annotations

from aios_adapters.adapter import Adapter
from aios_adapters.agent_framework import _history, _identity, _kept, _tools
from aios_adapters.patching import Patch
from aios_adapters.versions import framework

__all__ = ["ADAPTER"]

_SESSIONS = "agent_framework._sessions"
_TYPES = "agent_framework._types"

VERSIONS = framework("agent_framework")

ADAPTER = Adapter(
    name="agent_framework",
    module="agent_framework",
    distribution=VERSIONS.distributions,
    minimum=VERSIONS.minimum,
    tested=VERSIONS.tested,
    patches=[
        Patch(module="agent_framework._agents", path="RawAgent.run", wrap=_identity.run),
        Patch(module=_TYPES, path="ResponseStream.__anext__", wrap=_identity.step),
        Patch(module=_TYPES, path="ResponseStream.get_final_response", wrap=_identity.step),
        Patch(module="agent_framework._tools", path="FunctionTool.invoke", wrap=_tools.invoke, subclasses=True),
        Patch(module=_SESSIONS, path="HistoryProvider.get_messages", wrap=_history.get, subclasses="only"),
        Patch(module=_SESSIONS, path="HistoryProvider.save_messages", wrap=_history.save, subclasses="only"),
        # The messages are in the session, which only these two are given.
        Patch(module=_SESSIONS, path="HistoryProvider.before_run", wrap=_kept.during),
        Patch(module=_SESSIONS, path="HistoryProvider.after_run", wrap=_kept.during),
    ],
)
