"""Adapter "langchain": LangChain and LangGraph 1.x; models, embeddings, tools, memory and the names of agents."""

from __future__ import annotations

from aios_adapters.adapter import Adapter
from aios_adapters.langchain import _chat, _embeddings, _identity, _leaves, _memory, _text, _tools
from aios_adapters.patching import Patch
from aios_adapters.versions import framework

__all__ = ["ADAPTER"]

_CHAT = "langchain_core.language_models.chat_models"
_LLMS = "langchain_core.language_models.llms"
_EMBEDDINGS = "langchain_core.embeddings.embeddings"
_TOOLS = "langchain_core.tools.base"
_PREGEL = "langgraph.pregel"

# The base's own methods that only say "not implemented" stay as they are. The base's asynchronous ones run the
# synchronous ones in a thread: those are gated too, so that waiting is done by the caller's event loop. In the loop's few
# threads, the streams that wait for a grant would keep the one that has it from going on. The core's test whether a
# class has its own method still holds: both sides of `cls._astream is BaseChatModel._astream` are our function.
VERSIONS = framework("langchain")

ADAPTER = Adapter(
    name="langchain",
    module="langchain_core",
    distribution=VERSIONS.distributions,
    minimum=VERSIONS.minimum,
    tested=VERSIONS.tested,
    resolve=_identity.resolve,
    patches=[
        Patch(module=_CHAT, path="BaseChatModel._generate", wrap=_leaves.whole(_chat.Chat), subclasses="only"),
        Patch(module=_CHAT, path="BaseChatModel._agenerate", wrap=_leaves.awhole(_chat.Chat), subclasses=True),
        Patch(module=_CHAT, path="BaseChatModel._stream", wrap=_leaves.streamed(_chat.Chat), subclasses="only"),
        Patch(module=_CHAT, path="BaseChatModel._astream", wrap=_leaves.astreamed(_chat.Chat), subclasses=True),
        Patch(module=_LLMS, path="BaseLLM._generate", wrap=_leaves.whole(_text.Prompts), subclasses="only"),
        Patch(module=_LLMS, path="BaseLLM._agenerate", wrap=_leaves.awhole(_text.Prompts), subclasses=True),
        Patch(module=_LLMS, path="BaseLLM._stream", wrap=_leaves.streamed(_text.Stream), subclasses="only"),
        Patch(module=_LLMS, path="BaseLLM._astream", wrap=_leaves.astreamed(_text.Stream), subclasses=True),
        Patch(module=_LLMS, path="LLM._call", wrap=_leaves.whole(_text.Prompt), subclasses="only"),
        Patch(module=_LLMS, path="LLM._acall", wrap=_leaves.awhole(_text.Prompt), subclasses=True),
        Patch(
            module=_EMBEDDINGS,
            path="Embeddings.embed_documents",
            wrap=_leaves.whole(_embeddings.Documents),
            subclasses="only",
        ),
        Patch(
            module=_EMBEDDINGS,
            path="Embeddings.aembed_documents",
            wrap=_leaves.awhole(_embeddings.Documents),
            subclasses=True,
        ),
        Patch(
            module=_EMBEDDINGS, path="Embeddings.embed_query", wrap=_leaves.whole(_embeddings.Query), subclasses="only"
        ),
        Patch(
            module=_EMBEDDINGS, path="Embeddings.aembed_query", wrap=_leaves.awhole(_embeddings.Query), subclasses=True
        ),
        Patch(module=_TOOLS, path="BaseTool.run", wrap=_tools.run, subclasses=True),
        Patch(module=_TOOLS, path="BaseTool.arun", wrap=_tools.arun, subclasses=True),
        Patch(module=_PREGEL, path="Pregel.stream", wrap=_identity.stream, subclasses=True),
        Patch(module=_PREGEL, path="Pregel.astream", wrap=_identity.astream, subclasses=True),
        *_memory.PATCHES,
    ],
)
