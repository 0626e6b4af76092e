"""Adapter "autogen": AutoGen 0.7 (autogen-core, autogen-agentchat, autogen-ext); models, tools, code, memory and agents."""

from __future__ import annotations

from aios_adapters.adapter import Adapter
from aios_adapters.autogen import _identity, _memory, _models, _tools
from aios_adapters.patching import Patch
from aios_adapters.versions import framework

__all__ = ["ADAPTER"]

_AGENTS = "autogen_agentchat.agents"

VERSIONS = framework("autogen")

ADAPTER = Adapter(
    name="autogen",
    module="autogen_core",
    distribution=VERSIONS.distributions,
    minimum=VERSIONS.minimum,
    tested=VERSIONS.tested,
    resolve=_identity.resolve,
    patches=[
        Patch(
            module="autogen_core.models",
            path="ChatCompletionClient.create",
            wrap=_models.create,
            subclasses="only",
        ),
        Patch(
            module="autogen_core.models",
            path="ChatCompletionClient.create_stream",
            wrap=_models.create_stream,
            subclasses="only",
        ),
        Patch(module="autogen_core.tools", path="BaseTool.run_json", wrap=_tools.run_json, subclasses=True),
        Patch(
            module="autogen_core.tools",
            path="BaseStreamTool.run_json_stream",
            wrap=_tools.run_json_stream,
            subclasses=True,
        ),
        Patch(
            module="autogen_core.code_executor",
            path="CodeExecutor.execute_code_blocks",
            wrap=_tools.execute_code_blocks,
            subclasses="only",
        ),
        # A workbench of BaseTools calls `run_json`; others, as those of MCP servers, have only this.
        Patch(module="autogen_core.tools", path="Workbench.call_tool", wrap=_tools.call_tool, subclasses="only"),
        Patch(module=_AGENTS, path="BaseChatAgent.on_messages_stream", wrap=_identity.own_steps, subclasses=True),
        Patch(module=_AGENTS, path="AssistantAgent._call_llm", wrap=_identity.steps, subclasses=True),
        Patch(module=_AGENTS, path="AssistantAgent._reflect_on_tool_use_flow", wrap=_identity.steps, subclasses=True),
        Patch(module=_AGENTS, path="AssistantAgent._execute_tool_call", wrap=_identity.whole, subclasses=True),
        Patch(module=_AGENTS, path="CodeExecutorAgent._call_llm", wrap=_identity.steps, subclasses=True),
        Patch(
            module=_AGENTS,
            path="CodeExecutorAgent._reflect_on_code_block_results_flow",
            wrap=_identity.steps,
            subclasses=True,
        ),
        Patch(module=_AGENTS, path="CodeExecutorAgent.execute_code_block", wrap=_identity.own, subclasses=True),
        *_memory.PATCHES,
    ],
)
