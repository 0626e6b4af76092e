"""The ReAct text protocol: the prompt, its parser and the loop's one pure step, over ordinary chat messages.

The system message holds instructions and tools, the user message the question; each reply of the model is followed by a
user message "Observation: ...". Source: Yao et al., ReAct, arXiv 2210.03629.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

__all__ = [
    "INSTRUCTIONS",
    "STOP",
    "Action",
    "Answer",
    "Unreadable",
    "format_prompt",
    "format_tool",
    "observation",
    "parse",
]

INSTRUCTIONS = """Answer the question with these tools:
{tools}

Format:
Thought: what to do
Action: a tool name
Action Input: the arguments as JSON
Observation: the result
... (repeat when needed)
Final Answer: the answer"""
STOP = "\nObservation:"

_ACTION = re.compile(r"Action:[ \t]*(?P<name>[^\n]+)\n+[ \t]*Action Input:[ \t]*(?P<input>.*)", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Action:
    """One tool call that the model asked for."""

    name: str
    arguments: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Answer:
    """The model's final answer."""

    text: str


@dataclass(frozen=True, slots=True)
class Unreadable:
    """A reply that is neither; `reason` is what to tell the model."""

    reason: str


def format_tool(tool: Mapping[str, Any]) -> str:
    """Return the one line under which a tool is shown to the model; takes the form of the OpenAI API."""
    function: Mapping[str, Any] = tool.get("function", tool)
    schema: Mapping[str, Any] = function.get("parameters") or {}
    properties: Mapping[str, Mapping[str, Any]] = schema.get("properties") or {}
    required: Sequence[str] = schema.get("required") or ()
    parameters = ", ".join(f"{name}{'' if name in required else '?'}: {_kind(p)}" for name, p in properties.items())
    description = str(function.get("description") or "").strip().replace("\n", " ")
    return f"- {function['name']}({parameters})" + (f" - {description}" if description else "")


def _kind(schema: Mapping[str, Any]) -> str:
    if "enum" in schema:
        return "|".join(json.dumps(value, ensure_ascii=False) for value in schema["enum"])
    if isinstance(kind := schema.get("type"), str):
        return kind
    if kind:
        return "|".join(kind)
    return "|".join(_kind(one) for one in schema["anyOf"]) if "anyOf" in schema else "any"


def format_prompt(tools: Sequence[Mapping[str, Any]], question: str) -> list[dict[str, str]]:
    """Return the messages that open a ReAct run."""
    system = INSTRUCTIONS.format(tools="\n".join(format_tool(tool) for tool in tools))
    return [{"role": "system", "content": system}, {"role": "user", "content": question}]


def observation(reply: str, result: str) -> list[dict[str, str]]:
    """Return the two messages that a step adds: what the model said and what the tool gave."""
    said = reply.split(STOP, 1)[0].rstrip()
    return [{"role": "assistant", "content": said}, {"role": "user", "content": f"Observation: {result}"}]


def parse(text: str) -> Action | Answer | Unreadable:
    """Read one reply of the model; never raises."""
    text = text.split(STOP, 1)[0]
    found, final = _ACTION.search(text), text.find("Final Answer:")
    if final >= 0 and (found is None or final < found.start()):
        return Answer(text[final + len("Final Answer:") :].strip())
    if found is None:
        return Unreadable("Reply with Action and Action Input, or with Final Answer.")
    try:
        arguments, _ = json.JSONDecoder().raw_decode(found["input"].strip())
    except ValueError:
        return Unreadable("Action Input must be a JSON object.")
    if not isinstance(arguments, dict):
        return Unreadable("Action Input must be a JSON object.")
    return Action(found["name"].strip().strip("`\"'"), arguments)  # pyright: ignore[reportUnknownArgumentType]
