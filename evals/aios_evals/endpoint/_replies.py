"""What the simulated model answers: a pure function of the prompt, or of a script given by the caller."""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeAlias, cast

from ._prompt import Json, Prompt, part
from ._tokens import count_tokens, message_text, pieces


@dataclass(frozen=True)
class ToolCall:
    """A tool call of the model. `arguments` is a dict, or text to be sent as it is, malformed or not."""

    name: str
    arguments: Json | str

    @property
    def arguments_text(self) -> str:
        """The arguments as they travel."""
        return self.arguments if isinstance(self.arguments, str) else json.dumps(self.arguments)


@dataclass(frozen=True)
class Reply:
    """A model's whole answer. `finish` is the chat API's finish reason."""

    text: str | None = None
    tool_calls: tuple[ToolCall, ...] = ()
    finish: str = "stop"

    @property
    def tokens(self) -> int:
        """The answer's length by the endpoint's token rule."""
        calls = sum(count_tokens(call.name) + count_tokens(call.arguments_text) for call in self.tool_calls)
        return count_tokens(self.text or "") + calls


Scripted: TypeAlias = "Reply | ToolCall | Sequence[ToolCall] | str | None"
ReplyFunction = Callable[[Prompt], Scripted]


def answer(prompt: Prompt, script: ReplyFunction | None, length: int) -> Reply:
    """Answer a prompt by the script, or by default where it returns None; apply continuation, stop and max_tokens."""
    asked, prefix = _split_continuation(prompt)
    scripted = script(asked) if script else None
    reply = default_reply(asked, length) if scripted is None else _as_reply(scripted)
    if reply.tool_calls:
        return replace(reply, finish="tool_calls")
    text = (reply.text or "").removeprefix(prefix)
    return _cut(replace(reply, text=text), prompt)


def default_reply(prompt: Prompt, length: int = 16) -> Reply:
    """Answer without a script: a forced or first tool call, JSON when asked for it, else `length` echoed tokens."""
    function = _tool_to_call(prompt)
    if function:
        arguments = _instance(function.get("parameters") or {}, prompt.user_text)
        return Reply(tool_calls=(ToolCall(function["name"], arguments),))
    schema = _json_schema(prompt)
    if schema is not None:
        value = _instance(schema, prompt.user_text) if schema else {"echo": prompt.text}
        return Reply(json.dumps(value))
    return Reply(echo(prompt.text, length))


def echo(text: str, length: int) -> str:
    """Repeat a text's words until there are `length` tokens."""
    words = re.findall(r"\w+", text) or ["ok"]
    return " ".join(itertools.islice(itertools.cycle(words), length))


def _as_reply(scripted: Reply | ToolCall | Sequence[ToolCall] | str) -> Reply:
    if isinstance(scripted, Reply):
        return scripted
    if isinstance(scripted, str):
        return Reply(scripted)
    return Reply(tool_calls=(scripted,) if isinstance(scripted, ToolCall) else tuple(scripted))


def _split_continuation(prompt: Prompt) -> tuple[Prompt, str]:
    """Separate the begun answer that a request asks to continue, so that resuming gives the same text.

    The three ways are vLLM's (a field of the body), DeepSeek's (one of the message) and Anthropic's (the message alone).
    """
    if prompt.last.get("role") != "assistant" or prompt.last.get("tool_calls"):
        return prompt, ""
    return replace(prompt, messages=prompt.messages[:-1]), message_text(prompt.last)


def _cut(reply: Reply, prompt: Prompt) -> Reply:
    text = reply.text or ""
    ends = [text.index(stop) for stop in prompt.stop if stop and stop in text]
    text = text[: min(ends)] if ends else text
    limit = prompt.max_tokens
    if limit is None or count_tokens(text) <= limit:
        return replace(reply, text=text)
    return replace(reply, text="".join(pieces(text)[:limit]), finish="length")


def _tool_to_call(prompt: Prompt) -> Json | None:
    """Choose the function to call: a forced one always, the first one in answer to a user, none after a tool."""
    choice: Any = prompt.body.get("tool_choice")
    functions: list[Json] = [tool["function"] for tool in prompt.tools if "function" in tool]
    if choice == "none" or not functions:
        return None
    if isinstance(choice, dict):
        forced = cast("Json", choice)
        named: Any = forced.get("function", forced).get("name")
        return next((function for function in functions if function["name"] == named), functions[0])
    return functions[0] if choice == "required" or prompt.last.get("role") == "user" else None


def _json_schema(prompt: Prompt) -> Json | None:
    """Return the schema the reply must have: {} for any JSON object, None for plain text."""
    form = part(prompt.body, "response_format") or part(part(prompt.body, "text"), "format")
    if form.get("type") == "json_schema":
        return form.get("schema") or part(part(form, "json_schema"), "schema")
    return {} if form.get("type") == "json_object" else None


def _instance(schema: Json, text: str, root: Json | None = None) -> Any:
    """Build the smallest value of a JSON schema, its strings and numbers taken from `text`."""
    root = schema if root is None else root
    if "$ref" in schema:
        return _instance(_resolve(root, schema["$ref"]), text, root)
    if "const" in schema or schema.get("enum"):
        return schema["const"] if "const" in schema else schema["enum"][0]
    for union in ("anyOf", "oneOf", "allOf"):
        if schema.get(union):
            return _instance(schema[union][0], text, root)
    types: Any = schema.get("type", "object")
    kind = str(types if isinstance(types, str) else types[0])
    if kind == "object":
        names: Any = schema.get("required") or schema.get("properties") or {}
        properties: Json = schema.get("properties") or {}
        return {name: _instance(properties.get(name, {"type": "string"}), text, root) for name in names}
    if kind == "array":
        items = schema.get("items")
        return [_instance(items, text, root)] if items and schema.get("minItems") else []
    return _scalar(kind, text)


def _scalar(kind: str, text: str) -> Any:
    number = re.search(r"-?\d+", text)
    scalars: Json = {"integer": int(number.group()) if number else 1, "boolean": True, "null": None}
    scalars["number"] = float(scalars["integer"])
    return scalars.get(kind, text)


def _resolve(root: Json, reference: str) -> Json:
    for name in reference.removeprefix("#/").split("/"):
        root = root[name]
    return root
