"""Adapter "autogen_classic": AutoGen 0.2 and AG2 0.x (import `autogen`); model clients, functions, code and agents."""

from __future__ import annotations

from aios_adapters.adapter import Adapter
from aios_adapters.autogen_classic import _code, _functions, _memory, _models, _replies
from aios_adapters.patching import Patch
from aios_adapters.versions import framework

__all__ = ["ADAPTER"]

_AGENT = "autogen.agentchat.conversable_agent"

VERSIONS = framework("autogen_classic")

ADAPTER = Adapter(
    name="autogen_classic",
    module="autogen",
    distribution=VERSIONS.distributions,
    minimum=VERSIONS.minimum,
    tested=VERSIONS.tested,
    patches=[
        *_memory.PATCHES,
        # What `register_reply` is given in an agent's __init__ is held by the agent: only what calls it can be replaced.
        Patch(module=_AGENT, path="ConversableAgent.generate_reply", wrap=_replies.generate_reply, subclasses=True),
        Patch(module=_AGENT, path="ConversableAgent.a_generate_reply", wrap=_replies.agenerate_reply, subclasses=True),
        Patch(module="autogen.oai.client", path="OpenAIWrapper.create", wrap=_models.create, subclasses=True),
        Patch(module=_AGENT, path="ConversableAgent.execute_function", wrap=_functions.execute, subclasses=True),
        Patch(module=_AGENT, path="ConversableAgent.a_execute_function", wrap=_functions.aexecute, subclasses=True),
        Patch(module=_AGENT, path="ConversableAgent.run_code", wrap=_code.run_code, subclasses=True),
        Patch(
            module="autogen.coding.base",
            path="CodeExecutor.execute_code_blocks",
            wrap=_code.execute_code_blocks,
            subclasses="only",
        ),
    ],
)
