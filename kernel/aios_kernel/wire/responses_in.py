"""The Responses API's input in the shape of a chat: instructions, items, function calls and their outputs."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, cast

__all__ = ["messages", "response_format", "tool_choice", "tools", "unsupported"]

Body = Mapping[str, Any]
Message = dict[str, Any]
_KNOWN = {"message", "function_call", "function_call_output", "reasoning"}


def messages(body: Body) -> list[Message]:
    """The chat that the input stands for."""
    chat: list[Message] = []
    if body.get("instructions"):
        chat.append({"role": "system", "content": _content(body["instructions"])})
    for item in _items(body):
        _add(chat, item)
    return chat


def tools(body: Body) -> list[Body]:
    """Function tools in the shape of chat completions; others are left out."""
    return [
        {"type": "function", "function": {key: value for key, value in tool.items() if key != "type"}}
        for tool in _maps(body.get("tools"))
        if tool.get("type") == "function"
    ]


def tool_choice(body: Body) -> Any:
    """The choice of tools in the shape of chat completions."""
    choice = body.get("tool_choice")
    if isinstance(choice, Mapping):
        return {"type": "function", "function": {"name": cast("Body", choice).get("name")}}
    return choice


def response_format(body: Body) -> Body | None:
    """The format of the text in the shape of chat completions; None for free text."""
    text = body.get("text")
    wanted = cast("Body", text).get("format") if isinstance(text, Mapping) else None
    if not isinstance(wanted, Mapping):
        return None
    given = cast("Body", wanted)
    kind = given.get("type")
    if kind == "json_schema":
        return {"type": kind, "json_schema": {key: value for key, value in given.items() if key != "type"}}
    return None if kind == "text" else given


def unsupported(body: Body) -> str | None:
    """Name the first part of the request that a chat cannot express."""
    if body.get("prompt"):
        return "prompt"
    for index, item in enumerate(_items(body)):
        if _kind(item) not in _KNOWN:
            return f"input[{index}].type"
    for index, tool in enumerate(_maps(body.get("tools"))):
        if tool.get("type") != "function":
            return f"tools[{index}].type"
    return None


def _items(body: Body) -> Iterator[Body]:
    given = body.get("input")
    if isinstance(given, str):
        yield {"role": "user", "content": given}
    else:
        yield from _maps(given)


def _maps(value: Any) -> Iterator[Body]:
    if isinstance(value, Sequence) and not isinstance(value, str):
        yield from (cast("Body", item) for item in cast("Sequence[Any]", value) if isinstance(item, Mapping))


def _kind(item: Body) -> str:
    return str(item.get("type") or ("message" if "role" in item else ""))


def _add(chat: list[Message], item: Body) -> None:
    kind = _kind(item)
    if kind == "message":
        chat.append({"role": item.get("role"), "content": _content(item.get("content"))})
    elif kind == "function_call":
        _caller(chat)["tool_calls"].append(_tool_call(item))
    elif kind == "function_call_output":
        output = item.get("output")
        text = output if isinstance(output, str) else _content(output)
        chat.append({"role": "tool", "tool_call_id": item.get("call_id"), "content": text})


def _caller(chat: list[Message]) -> Message:
    """The assistant's message that a function call belongs to: the one right before it, or a new one."""
    if not chat or chat[-1]["role"] != "assistant":
        chat.append({"role": "assistant", "content": None})
    chat[-1].setdefault("tool_calls", [])
    return chat[-1]


def _tool_call(item: Body) -> Message:
    function = {"name": item.get("name"), "arguments": item.get("arguments") or "{}"}
    return {"id": item.get("call_id"), "type": "function", "function": function}


def _content(content: Any) -> Any:
    """Parts that are all text become one text; images keep the shape of chat completions."""
    if content is None or isinstance(content, str):
        return content
    parts = [_part(part) for part in _maps(content)]
    if all(part["type"] == "text" for part in parts):
        return "".join(part["text"] for part in parts)
    return parts


def _part(part: Body) -> Message:
    kind = part.get("type")
    if kind in {"input_text", "output_text", "text"}:
        return {"type": "text", "text": part.get("text") or ""}
    if kind == "refusal":
        return {"type": "text", "text": part.get("refusal") or ""}
    if kind == "input_image":
        return {"type": "image_url", "image_url": {"url": part.get("image_url")}}
    return {"type": "text", "text": json.dumps(part, default=str)}
