"""Adapter "llama_index": LlamaIndex 0.14; models, embeddings, tools, code, memory and the names of agents."""

from __future__ import annotations

from aios_adapters.adapter import Adapter
from aios_adapters.llama_index import _embeddings, _identity, _leaves, _llm, _memory, _tools
from aios_adapters.patching import Patch
from aios_adapters.versions import framework

__all__ = ["ADAPTER"]

_LLM = "llama_index.core.base.llms.base"
_EMBEDDINGS = "llama_index.core.base.embeddings.base"
_TOOLS = "llama_index.core.tools.types"
_MEMORY = "llama_index.core.memory.types"
_AGENT = "llama_index.core.agent.workflow.base_agent"
_TEAM = "llama_index.core.agent.workflow.multi_agent_workflow"

VERSIONS = framework("llama_index")

ADAPTER = Adapter(
    name="llama_index",
    module="llama_index.core",
    distribution=VERSIONS.distributions,
    minimum=VERSIONS.minimum,
    tested=VERSIONS.tested,
    patches=[
        Patch(module=_LLM, path="BaseLLM.chat", wrap=_leaves.whole(_llm.Chat), subclasses="only"),
        Patch(module=_LLM, path="BaseLLM.achat", wrap=_leaves.awhole(_llm.Chat), subclasses="only"),
        Patch(module=_LLM, path="BaseLLM.stream_chat", wrap=_leaves.streamed(_llm.Chat), subclasses="only"),
        Patch(module=_LLM, path="BaseLLM.astream_chat", wrap=_leaves.astreamed(_llm.Chat), subclasses="only"),
        Patch(module=_LLM, path="BaseLLM.complete", wrap=_leaves.whole(_llm.Complete), subclasses="only"),
        Patch(module=_LLM, path="BaseLLM.acomplete", wrap=_leaves.awhole(_llm.Complete), subclasses="only"),
        Patch(module=_LLM, path="BaseLLM.stream_complete", wrap=_leaves.streamed(_llm.Complete), subclasses="only"),
        Patch(module=_LLM, path="BaseLLM.astream_complete", wrap=_leaves.astreamed(_llm.Complete), subclasses="only"),
        *(
            Patch(module=_EMBEDDINGS, path=f"BaseEmbedding.{name}", wrap=wrap, subclasses=covered)
            for name, wrap, covered in _embeddings.METHODS
        ),
        Patch(module=_TOOLS, path="BaseTool.__call__", wrap=_tools.call, subclasses="only"),
        Patch(module=_TOOLS, path="AsyncBaseTool.call", wrap=_tools.call, subclasses="only"),
        Patch(module=_TOOLS, path="AsyncBaseTool.acall", wrap=_tools.acall, subclasses="only"),
        *(
            Patch(module=_MEMORY, path=f"BaseMemory.{name}", wrap=wrap, subclasses=covered)
            for name, wrap, covered in _memory.METHODS
        ),
        Patch(module=_AGENT, path="BaseWorkflowAgent.run", wrap=_identity.run, subclasses=True),
        Patch(module=_AGENT, path="BaseWorkflowAgent.take_step", wrap=_identity.own, subclasses="only"),
        Patch(module=_AGENT, path="BaseWorkflowAgent.handle_tool_call_results", wrap=_identity.own, subclasses="only"),
        Patch(module=_AGENT, path="BaseWorkflowAgent.finalize", wrap=_identity.own, subclasses="only"),
        Patch(module=_AGENT, path="BaseWorkflowAgent._call_tool", wrap=_identity.call_tool, subclasses=True),
        Patch(module=_TEAM, path="AgentWorkflow.run", wrap=_identity.run_team, subclasses=True),
        Patch(module=_TEAM, path="AgentWorkflow._call_tool", wrap=_identity.call_team_tool, subclasses=True),
    ],
)
