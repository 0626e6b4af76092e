"""AG2's events, tools and responses on one side, the shape of chat completions on the other."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from importlib import import_module
from typing import Any

from aios_kernel.abi import ChatCall, Reply, Sampling, Usage

__all__ = ["chat_call", "model_response", "text_chunk", "usage_of"]

Json = dict[str, Any]
_SAMPLING = ("temperature", "top_p", "top_k", "max_tokens", "seed")


def chat_call(client: Any, events: Iterable[Any], context: Any, given: Mapping[str, Any], *, stream: bool) -> ChatCall:
    """Translate one request; a client keeps the options it was made with."""
    options: Mapping[str, Any] = getattr(client, "_create_options", None) or {}
    schema: Any = given.get("response_schema")
    prompt = [*context.prompt, *([schema.system_prompt] if getattr(schema, "system_prompt", None) else [])]
    system: list[Json] = [{"role": "system", "content": "\n".join(prompt)}] if prompt else []
    # A provider's "not given" is no number.
    sampling: Json = {key: value for key in _SAMPLING if isinstance(value := options.get(key), int | float)}
    return ChatCall(
        model=str(options.get("model") or getattr(client, "_model", None) or type(client).__name__),
        stream=stream,
        sampling=Sampling(**sampling),
        messages=(*system, *(message for event in events for message in _messages(event))),
        tools=tuple(tool for schema in given.get("tools") or () if (tool := _tool(schema)) is not None),
        response_format=_format(schema),
    )


def usage_of(response: Any) -> Usage | None:
    """What a response says it used."""
    used: Any = getattr(response, "usage", None)
    if not used:
        return None
    return Usage(
        input_tokens=int(used.prompt_tokens or 0),
        output_tokens=int(used.completion_tokens or 0),
        cached_tokens=int(used.cache_read_input_tokens or 0),
    )


def text_chunk(text: str) -> Any:
    """Return the event of a piece of text."""
    return import_module("ag2.events").ModelMessageChunk(text)


def model_response(reply: Reply, model: str) -> Any:
    """Return the ModelResponse of a reply."""
    events, used = import_module("ag2.events"), reply.usage
    calls = [
        events.ToolCallEvent(id=one.id, name=one.name, arguments=one.arguments or "{}") for one in reply.tool_calls
    ]
    return events.ModelResponse(
        message=events.ModelMessage(reply.text) if reply.text else None,
        tool_calls=events.ToolCallsEvent(calls),
        usage=events.Usage(
            prompt_tokens=used.input_tokens, completion_tokens=used.output_tokens, total_tokens=used.total_tokens
        ),
        model=model,
        finish_reason="tool_calls" if calls else reply.finish_reason,
    )


def _messages(event: Any) -> Iterator[Json]:
    """One event of a history; the results of several tool calls are one event here and several messages there."""
    kinds = {cls.__name__ for cls in type(event).__mro__}
    if "ModelRequest" in kinds:
        yield {"role": "user", "content": _content(event.parts)}
    elif "ModelResponse" in kinds:
        message: Json = {"role": "assistant", "content": event.content}
        calls = [_call(call) for call in event.tool_calls.calls]
        yield {**message, "tool_calls": calls} if calls else message
    elif "ToolResultsEvent" in kinds:
        for result in event.results:
            yield {"role": "tool", "tool_call_id": result.parent_id, "content": _content(result.result.parts)}


def _content(parts: Iterable[Any]) -> Any:
    """Plain text where it is one, else a list of parts."""
    shown = [_part(part) for part in parts]
    return shown[0]["text"] if len(shown) == 1 and shown[0]["type"] == "text" else shown


def _part(part: Any) -> Json:
    if hasattr(part, "url"):
        return {"type": "image_url", "image_url": {"url": part.url}}
    found: Any = getattr(part, "content", getattr(part, "data", part))
    return {"type": "text", "text": found if isinstance(found, str) else str(found)}


def _call(call: Any) -> Json:
    return {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": call.arguments}}


def _tool(schema: Any) -> Json | None:
    """A function; a model's built-in tools are its provider's own."""
    function: Any = getattr(schema, "function", None)
    if function is None:
        return None
    described = {"name": function.name, "description": function.description, "parameters": function.parameters}
    return {"type": "function", "function": described}


def _format(schema: Any) -> Json | None:
    if schema is None or not getattr(schema, "json_schema", None):
        return None
    return {"type": "json_schema", "json_schema": {"name": schema.name, "schema": schema.json_schema}}
