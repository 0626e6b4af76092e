"""The tool-call text of the embedded model: the grammar that makes every call valid, and its parser."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

__all__ = ["Call", "parse_calls", "tool_grammar"]

# The model was trained on json.dumps' default spacing; other spacing would force it onto tokens it never saw.
_SPACING = {"item_separator": ", ", "key_separator": ": ", "whitespace_flexible": False}
_CALL = re.compile(r"<tool_call>\s*(.*?)\s*</tool_call>", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Call:
    """One tool call in a reply."""

    name: str
    arguments: dict[str, Any]


def tool_grammar(tools: Sequence[Mapping[str, Any]], *, required: bool = False) -> str:
    """Return a Lark grammar (llguidance) of the replies allowed with these tools, given in the form of the OpenAI API.

    A reply is free text that does not open with "<", or one call of one of the tools with arguments of its schema; with
    `required` only a call is allowed.
    """
    branches: list[str] = []
    rules: list[str] = []
    for index, tool in enumerate(tools):
        function: Mapping[str, Any] = tool.get("function", tool)
        schema = {"type": "object", "additionalProperties": False, **(function.get("parameters") or {})}
        head = json.dumps(f'<tool_call>{{"name": {json.dumps(function["name"], ensure_ascii=False)}, "arguments": ')
        branches.append(f'{head} arguments_{index} "}}</tool_call>"')
        rules.append(f"arguments_{index}: %json {json.dumps({**schema, 'x-guidance': _SPACING})}")
    start = "start: call" if required else "start: call | TEXT\nTEXT: /[^<](.|\\n)*/"
    return "\n".join([start, "call: " + " | ".join(branches), *rules])


def parse_calls(text: str) -> tuple[str, list[Call]]:
    """Split a reply into its text and its calls; what is not a readable call stays text."""
    calls: list[Call] = []

    def take(found: re.Match[str]) -> str:
        try:
            entry = json.loads(found[1])
            calls.append(Call(str(entry["name"]), dict(entry.get("arguments") or {})))
        except (ValueError, TypeError, KeyError, AttributeError):
            return found[0]
        return ""

    return _CALL.sub(take, text).strip(), calls
