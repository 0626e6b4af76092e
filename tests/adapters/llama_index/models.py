"""Models without the openai SDK, as integrations and users write them."""

from __future__ import annotations

import asyncio
import json
from typing import Any

from llama_index.core.base.llms.types import ChatMessage, ChatResponse, CompletionResponse, LLMMetadata
from llama_index.core.embeddings import BaseEmbedding
from llama_index.core.llms import CustomLLM
from llama_index.core.llms.callbacks import llm_chat_callback, llm_completion_callback
from llama_index.core.llms.function_calling import FunctionCallingLLM
from llama_index.core.llms.llm import ToolSelection

WORDS = ("hello ", "big ", "world")


class Words(CustomLLM):
    """A completion model; its chat calls its completion."""

    @property
    def metadata(self):
        return LLMMetadata(model_name="words")

    @llm_completion_callback()
    def complete(self, prompt, formatted=False, **kwargs):
        return CompletionResponse(text="hello big world", raw={"usage": {"prompt_tokens": 3, "completion_tokens": 4}})

    @llm_completion_callback()
    def stream_complete(self, prompt, formatted=False, **kwargs):
        def items():
            for index, word in enumerate(WORDS):
                yield CompletionResponse(text="".join(WORDS[: index + 1]), delta=word)

        return items()


class Functions(FunctionCallingLLM):
    """A chat model that takes tools, with methods of its own for all eight ways to call it."""

    heard: Any = None

    @property
    def metadata(self):
        return LLMMetadata(model_name="functions", is_function_calling_model=True, is_chat_model=True)

    def _reply(self, text="hello big world", **fields):
        return ChatResponse(message=ChatMessage(role="assistant", content=text), **fields)

    def _hear(self, messages):
        if self.heard is not None:
            self.heard.append(messages)

    @llm_chat_callback()
    def chat(self, messages, **kwargs):
        self._hear(messages)
        return self._reply()

    @llm_chat_callback()
    def stream_chat(self, messages, **kwargs):
        self._hear(messages)

        def items():
            for index, word in enumerate(WORDS):
                yield self._reply("".join(WORDS[: index + 1]), delta=word)

        return items()

    @llm_chat_callback()
    async def achat(self, messages, **kwargs):
        await asyncio.sleep(0)
        return self._reply()

    @llm_chat_callback()
    async def astream_chat(self, messages, **kwargs):
        async def items():
            for index, word in enumerate(WORDS):
                await asyncio.sleep(0)
                yield self._reply("".join(WORDS[: index + 1]), delta=word)

        return items()

    @llm_completion_callback()
    def complete(self, prompt, formatted=False, **kwargs):
        return CompletionResponse(text="hello big world")

    @llm_completion_callback()
    def stream_complete(self, prompt, formatted=False, **kwargs):
        for index, word in enumerate(WORDS):
            yield CompletionResponse(text="".join(WORDS[: index + 1]), delta=word)

    @llm_completion_callback()
    async def acomplete(self, prompt, formatted=False, **kwargs):
        return CompletionResponse(text="hello big world")

    @llm_completion_callback()
    async def astream_complete(self, prompt, formatted=False, **kwargs):
        async def items():
            for index, word in enumerate(WORDS):
                yield CompletionResponse(text="".join(WORDS[: index + 1]), delta=word)

        return items()

    def _prepare_chat_with_tools(self, tools, user_msg=None, chat_history=None, **kwargs: Any):
        said = [ChatMessage(role="user", content=user_msg)] if isinstance(user_msg, str) else [user_msg]
        messages = [*(chat_history or []), *(said if user_msg else [])]
        schemas = [
            {"name": t.metadata.name, "description": "", "input_schema": t.metadata.get_parameters_dict()}
            for t in tools
        ]
        return {"messages": messages, "tools": schemas}

    def get_tool_calls_from_response(self, response, error_on_no_tool_call=True, **kwargs):
        blocks = [block for block in response.message.blocks if block.block_type == "tool_call"]
        found = [(block.tool_call_id, block.tool_name, block.tool_kwargs) for block in blocks]
        kept = [(call["id"], call["function"]) for call in response.message.additional_kwargs.get("tool_calls", [])]
        found += [(number, function["name"], json.loads(function["arguments"])) for number, function in kept]
        return [ToolSelection(tool_id=number, tool_name=name, tool_kwargs=given) for number, name, given in found]


class Letters(BaseEmbedding):
    """Embeddings of lengths."""

    def _get_text_embedding(self, text):
        return [1.0, float(len(text))]

    def _get_query_embedding(self, query):
        return [1.0, float(len(query))]

    async def _aget_query_embedding(self, query):
        return [1.0, float(len(query))]
