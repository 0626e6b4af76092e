"""Chat models: LangChain's messages and tools as a ChatCall, a Reply as ChatResult or ChatGenerationChunk."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from importlib import import_module
from typing import TYPE_CHECKING, Any

from aios_adapters.langchain._leaves import Exchange, common
from aios_kernel.abi import ChatCall, Usage

if TYPE_CHECKING:
    from aios_kernel.abi import Delta, Reply, ToolRequest, ToolRequestDelta

__all__ = ["Chat"]

Json = dict[str, Any]
_TAKEN = frozenset({"tools", "tool_choice", "response_format", "parallel_tool_calls", "model", "temperature"})
_CHOICES = {True: "required", "any": "required"}


class Chat(Exchange):
    """One call of `_generate`, `_agenerate`, `_stream` or `_astream`."""

    def request(self, model: Any, given: Any, stop: Any, options: Json) -> ChatCall:
        """Translate messages and tools to the shape of chat completions."""
        form = options.get("response_format")
        return ChatCall(
            **common(model, stop, options, stream=self.stream),
            messages=tuple(import_module("langchain_core.messages").convert_to_openai_messages(list(given))),
            tools=tuple(_tool(tool) for tool in options.get("tools") or ()),
            tool_choice=_choice(options.get("tool_choice")),
            response_format=form if hasattr(form, "keys") else None,
            parallel_tool_calls=options.get("parallel_tool_calls"),
            extra={key: value for key, value in options.items() if key not in _TAKEN},
        )

    def served(self, reply: Reply) -> Any:
        """Return a ChatResult."""
        outputs = import_module("langchain_core.outputs")
        calls = [_parsed(request) for request in reply.tool_calls]
        message = import_module("langchain_core.messages").AIMessage(
            content=reply.text,
            tool_calls=[call for call in calls if call["type"] == "tool_call"],
            invalid_tool_calls=[call for call in calls if call["type"] == "invalid_tool_call"],
            usage_metadata=_usage_metadata(reply.usage),
            response_metadata={"model_name": self.named(reply), "finish_reason": reply.finish_reason},
        )
        return outputs.ChatResult(generations=[outputs.ChatGeneration(message=message)])

    def pieces(self, delta: Delta) -> Iterator[Any]:
        """Yield a ChatGenerationChunk."""
        end: Json = {}
        if delta.finish_reason is not None:
            end = {
                "chunk_position": "last",
                "usage_metadata": None if delta.usage is None else _usage_metadata(delta.usage),
                "response_metadata": {"model_name": self.model_name, "finish_reason": delta.finish_reason},
            }
        calls = [_chunk(piece) for piece in delta.tool_calls]
        message = import_module("langchain_core.messages").AIMessageChunk(
            content=delta.text, tool_call_chunks=calls, **end
        )
        yield import_module("langchain_core.outputs").ChatGenerationChunk(message=message)

    def used(self, item: Any) -> Usage | None:
        """Add up the usage of a result's messages; the pieces of a stream carry a part each."""
        messages = [item.message] if self.stream else [generation.message for generation in item.generations]
        found = [_usage(message) for message in messages]
        for usage in found:
            self.total = self.total + usage if usage is not None else self.total
        return self.total if any(usage is not None for usage in found) else None


def _tool(tool: Any) -> Any:
    """A bound tool is in its provider's shape already; what has no OpenAI shape goes along as it is."""
    try:
        return import_module("langchain_core.utils.function_calling").convert_to_openai_tool(tool)
    except (TypeError, ValueError):
        known: Any = tool
        return known if isinstance(tool, Mapping) else {"type": "function", "function": {"name": str(tool)}}


def _choice(choice: Any) -> Any:
    if isinstance(choice, (str, bool)) and choice in _CHOICES:
        return _CHOICES[choice]
    if not isinstance(choice, str) or choice in {"auto", "none", "required"}:
        return choice or None
    return {"type": "function", "function": {"name": choice}}


def _parsed(request: ToolRequest) -> Any:
    """A tool call, or an invalid one where the model's arguments are not JSON."""
    parsers = import_module("langchain_core.output_parsers.openai_tools")
    raw = {"id": request.id, "function": {"name": request.name, "arguments": request.arguments or "{}"}}
    try:
        return parsers.parse_tool_call(raw, return_id=True)
    except import_module("langchain_core.exceptions").OutputParserException as error:
        return parsers.make_invalid_tool_call(raw, str(error))


def _chunk(piece: ToolRequestDelta) -> Any:
    return {
        "name": piece.name,
        "args": piece.arguments,
        "id": piece.id,
        "index": piece.index,
        "type": "tool_call_chunk",
    }


def _usage_metadata(usage: Usage) -> Any:
    return {
        "input_tokens": usage.input_tokens,
        "output_tokens": usage.output_tokens,
        "total_tokens": usage.total_tokens,
        "input_token_details": {"cache_read": usage.cached_tokens},
    }


def _usage(message: Any) -> Usage | None:
    counts: Any = getattr(message, "usage_metadata", None)
    if not counts:
        return None
    details: Any = counts.get("input_token_details") or {}
    return Usage(
        input_tokens=counts.get("input_tokens") or 0,
        output_tokens=counts.get("output_tokens") or 0,
        cached_tokens=details.get("cache_read") or 0,
    )
