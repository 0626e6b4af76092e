"""Who is calling: the agent that makes a reply, calls a model, or runs a function or code."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import Any

from aios_adapters.identity import framework_agent
from aios_kernel.identity import current_agent

__all__ = ["FRAMEWORK", "scope"]

FRAMEWORK = "autogen_classic"
#: Agents that a group chat's manager makes anew for each choice of a speaker: what they do is the manager's.
_HELPERS = frozenset({"speaker_selection_agent", "checking_agent"})


def scope(agent: Any) -> AbstractContextManager[Any]:
    """Be an agent, told apart by its object: two teams may each have an `alice`."""
    name = getattr(agent, "name", None)
    around = current_agent.get()
    if not isinstance(name, str) or (name in _HELPERS and around is not None and around.framework == FRAMEWORK):
        return nullcontext()
    return framework_agent(name, framework=FRAMEWORK, instance=f"{id(agent):x}", unique=True)
