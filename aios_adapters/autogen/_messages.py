"""AutoGen's messages, tools and results on one side, the shape of chat completions on the other."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from importlib import import_module
from typing import Any

from aios_kernel.abi import ChatCall, Reply, Sampling

__all__ = ["chat_call", "create_result"]

Json = dict[str, Any]
_SAMPLING = ("temperature", "top_p", "top_k", "max_tokens", "seed")


def chat_call(client: Any, messages: Iterable[Any], given: Mapping[str, Any], *, stream: bool) -> ChatCall:
    """Translate one request; what the client was made with stands behind what the call says."""
    made: Mapping[str, Any] = getattr(client, "_create_args", None) or {}
    extra: Json = dict(given.get("extra_create_args") or {})
    options = {**made, **extra}
    stop = options.get("stop") or ()
    sampling: Json = {key: options.get(key) for key in _SAMPLING}
    return ChatCall(
        model=str(options.get("model") or getattr(client, "_model_name", None) or type(client).__name__),
        stream=stream,
        sampling=Sampling(**sampling, stop=(stop,) if isinstance(stop, str) else tuple(stop)),
        messages=tuple(part for message in messages for part in _message(message)),
        tools=tuple(_tool(tool) for tool in given.get("tools") or ()),
        tool_choice=_choice(given.get("tool_choice")),
        response_format=_format(given.get("json_output")),
        extra={key: value for key, value in extra.items() if key not in (*_SAMPLING, "model", "stop")},
    )


def create_result(reply: Reply) -> Any:
    """Return a CreateResult; text beside tool calls is the thought."""
    core, models = import_module("autogen_core"), import_module("autogen_core.models")
    asked = [
        core.FunctionCall(id=call.id, name=call.name, arguments=call.arguments or "{}") for call in reply.tool_calls
    ]
    text, used = reply.text, reply.usage
    return models.CreateResult(
        finish_reason="function_calls" if asked else reply.finish_reason,
        content=asked or text,
        usage=models.RequestUsage(prompt_tokens=used.input_tokens, completion_tokens=used.output_tokens),
        cached=False,
        thought=(text or None) if asked else None,
    )


def _message(message: Any) -> Iterator[Json]:
    """One message; the results of several tool calls are one message here and several there."""
    kind, content = type(message).__name__, message.content
    if kind == "FunctionExecutionResultMessage":
        for result in content:
            yield {"role": "tool", "tool_call_id": result.call_id, "content": result.content}
    elif kind == "AssistantMessage":
        yield _assistant(message)
    elif kind == "SystemMessage":
        yield {"role": "system", "content": content}
    else:
        parts = content if isinstance(content, str) else [_part(part) for part in content]
        yield {"role": "user", "content": parts, "name": message.source}


def _assistant(message: Any) -> Json:
    if isinstance(message.content, str):
        return {"role": "assistant", "content": message.content}
    calls = [
        {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": call.arguments}}
        for call in message.content
    ]
    return {"role": "assistant", "content": message.thought, "tool_calls": calls}


def _part(part: Any) -> Json:
    if isinstance(part, str):
        return {"type": "text", "text": part}
    return {"type": "image_url", "image_url": {"url": part.data_uri}}


def _tool(tool: Any) -> Json:
    schema: Json = tool.schema if hasattr(tool, "schema") else tool
    return {"type": "function", "function": dict(schema)}


def _choice(choice: Any) -> Any:
    if choice is None or isinstance(choice, str):
        return choice
    return {"type": "function", "function": {"name": choice.name}}


def _format(output: Any) -> Json | None:
    if not output:
        return None
    if output is True:
        return {"type": "json_object"}
    schema = {"name": output.__name__, "schema": output.model_json_schema()}
    return {"type": "json_schema", "json_schema": schema}
