"""A request's body: read within bounds, parsed, and checked field by field before it becomes a call."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, cast

from aios_integrations.server.asgi import header
from aios_integrations.server.openai_api.problems import bad
from aios_kernel.wire import unsupported

if TYPE_CHECKING:
    from aios_integrations.server.asgi import Receive, Scope

__all__ = ["MOST_BYTES", "Gone", "check_body", "parse_body", "read_body"]

MOST_BYTES = 32 * 1024 * 1024
SILENCE = 60.0  # seconds between two pieces of a body
Body = Mapping[str, Any]
Json = dict[str, Any]


class Gone(Exception):
    """The client went away before its request was complete."""


async def read_body(scope: Scope, receive: Receive) -> bytes:
    """Read the body; raises `Refused` before its end, and `Gone` when nobody is left to answer."""
    declared = header(scope, "content-length")
    if declared.isdigit() and int(declared) > MOST_BYTES:
        raise _too_large()
    parts: list[bytes] = []
    size, more = 0, True
    while more:
        try:
            message = await asyncio.wait_for(receive(), SILENCE)
        except asyncio.TimeoutError:
            raise bad(f"nothing came for {SILENCE:g} seconds, and the body is not complete", status=408) from None
        if message["type"] == "http.disconnect":
            raise Gone
        part = message.get("body", b"")
        size, more = size + len(part), message.get("more_body", False)
        if size > MOST_BYTES:
            raise _too_large()
        parts.append(part)
    return b"".join(parts)


def _too_large() -> Exception:
    return bad(f"the body is larger than {MOST_BYTES // 2**20} MiB", code="body_too_large", status=413)


def parse_body(content: bytes) -> Json:
    """Parse the body; raises `Refused` for what is no JSON object."""
    try:
        body = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise bad(f"We could not parse the JSON body of your request: {error or 'it is nested too deeply'}") from None
    if not isinstance(body, dict):
        raise bad("the body of the request is JSON, but no object")
    return cast("Json", body)


def check_body(path: str, body: Body) -> None:
    """Raise `Refused` for a field of a wrong kind, or one that asks for what no core of the kernel can do."""
    for name in ("model", *_REQUIRED[path]):
        if body.get(name) is None:
            raise bad(f"Missing required parameter: {name!r}", name, "missing_required_parameter")
    for name, (fits, kind) in _KINDS.items():
        value = body.get(name)
        if value is not None and not fits(value):
            shown = json.dumps(value, default=str)
            shown = shown if len(shown) <= 80 else f"{shown[:80]}..."
            raise bad(f"Invalid value for {name!r}: expected {kind}, but got {shown}", name, "invalid_value")
    if path == "/embeddings" and not _is_embeddable(body["input"]):
        raise bad(
            "Invalid value for 'input': expected a text, or a list of texts or of tokens", "input", "invalid_value"
        )
    refused = unsupported(path, body)
    if refused is not None:
        message = f"Unsupported parameter: {refused!r} is not supported by the kernel's cores."
        raise bad(message, refused, "unsupported_parameter")
    if body.get("continue_final_message"):
        _check_continuation(path, body)


def _check_continuation(path: str, body: Body) -> None:
    name = "continue_final_message"
    if path != "/chat/completions" or body["messages"][-1]["role"] != "assistant":
        raise bad(f"{name} continues a chat whose last message is the assistant's", name, "invalid_value")
    if body["messages"][-1].get("tool_calls"):
        raise bad(f"{name} continues text, and the last message has tool calls", name, "invalid_value")
    if body.get("add_generation_prompt"):
        raise bad(f"{name} excludes add_generation_prompt", "add_generation_prompt", "invalid_value")


# Kinds of values

Fits = Callable[[Any], bool]


def _whole(least: int) -> Fits:
    return lambda value: isinstance(value, int) and not isinstance(value, bool) and value >= least


def _number(least: float, most: float) -> Fits:
    return lambda value: isinstance(value, (int, float)) and not isinstance(value, bool) and least <= value <= most


def _is(kind: type) -> Fits:
    return lambda value: isinstance(value, kind)


def _each(fits: Fits, value: Any) -> bool:
    return isinstance(value, list) and all(fits(one) for one in cast("list[Any]", value))


def _is_message(value: Any) -> bool:
    if not isinstance(value, dict) or not isinstance(value.get("role"), str):  # pyright: ignore[reportUnknownMemberType]
        return False
    message = cast("Json", value)
    content = message.get("content")
    part: Fits = lambda one: isinstance(one, (str, dict))  # noqa: E731
    if not (content is None or isinstance(content, str) or _each(part, content)):
        return False
    return message.get("tool_calls") is None or _each(_is_tool_call, message["tool_calls"])


def _is_tool_call(value: Any) -> bool:
    function = cast("Json", value).get("function") if isinstance(value, dict) else None
    return isinstance(function, dict) and isinstance(cast("Json", function).get("name"), str)


def _is_tool(value: Any) -> bool:
    if not isinstance(value, dict):
        return False
    tool = cast("Json", value)
    if tool.get("type", "function") != "function":
        return isinstance(tool["type"], str)
    function: Any = tool.get("function", tool)
    if not isinstance(function, dict) or not isinstance(cast("Json", function).get("name"), str):
        return False
    return isinstance(cast("Json", function).get("parameters") or {}, dict)


def _is_embeddable(value: Any) -> bool:
    token: Fits = _whole(0)
    if isinstance(value, str):
        return bool(value)
    if not isinstance(value, Sequence) or not value:
        return False
    return _each(token, value) or _each(lambda one: isinstance(one, str) or (_each(token, one) and bool(one)), value)


_REQUIRED: dict[str, tuple[str, ...]] = {
    "/chat/completions": ("messages",),
    "/completions": ("prompt",),
    "/responses": ("input",),
    "/embeddings": ("input",),
}
_TEXTS: Fits = lambda value: isinstance(value, str) or _each(_is(str), value)  # noqa: E731
_KINDS: dict[str, tuple[Fits, str]] = {
    "model": (lambda value: isinstance(value, str) and bool(value), "a model's name"),
    "messages": (
        lambda value: bool(value) and _each(_is_message, value),
        "a list of at least one message, each with a role, and a content that is text or a list of parts",
    ),
    "prompt": (lambda value: isinstance(value, (str, list)), "a text"),
    "tools": (lambda value: _each(_is_tool, value), "a list of tools, each a function with a name"),
    "tool_choice": (lambda value: isinstance(value, (str, dict)), "a word or an object"),
    "response_format": (_is(dict), "an object"),
    "text": (_is(dict), "an object"),
    "stream": (_is(bool), "true or false"),
    "stream_options": (_is(dict), "an object"),
    "parallel_tool_calls": (_is(bool), "true or false"),
    "continue_final_message": (_is(bool), "true or false"),
    "add_generation_prompt": (_is(bool), "true or false"),
    "chat_template_kwargs": (_is(dict), "an object"),
    "echo": (_is(bool), "true or false"),
    "temperature": (_number(0, 2), "a number from 0 to 2"),
    "top_p": (_number(0, 1), "a number from 0 to 1"),
    "top_k": (_whole(-1), "a whole number"),
    "max_tokens": (_whole(1), "a whole number of 1 or more"),
    "max_completion_tokens": (_whole(1), "a whole number of 1 or more"),
    "max_output_tokens": (_whole(1), "a whole number of 1 or more"),
    "dimensions": (_whole(1), "a whole number of 1 or more"),
    "n": (_whole(1), "a whole number of 1 or more"),
    "seed": (lambda value: isinstance(value, int) and not isinstance(value, bool), "a whole number"),
    "stop": (_TEXTS, "a text or a list of texts"),
    "encoding_format": (lambda value: value in {"float", "base64"}, "'float' or 'base64'"),
}
