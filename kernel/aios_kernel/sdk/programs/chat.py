"""Chats: one call of the model, for a text, a JSON value or tool calls."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from aios_kernel.abi import ChatCall, Reply, Sampling
from aios_kernel.agents.steps import Program, Step
from aios_kernel.errors import CoreError
from aios_kernel.sdk.programs.offering import offered
from aios_kernel.toolkit.validation import problems

if TYPE_CHECKING:
    from aios_kernel.abi import Agent

__all__ = [
    "JSON",
    "Messages",
    "conversation",
    "llm_chat",
    "llm_chat_with_json_output",
    "llm_chat_with_tool_call_output",
]

JSON = Mapping[str, Any]
Messages = str | Sequence[JSON]  # a text is the one message of a user


def llm_chat(
    agent: Agent | None, messages: Messages, *, model: str = "", sampling: Sampling | None = None
) -> Program[Reply]:
    """Ask the model for the next message."""
    call = ChatCall(agent=agent, model=model, messages=conversation(messages), sampling=sampling or Sampling())
    return (yield Step(call))


def llm_chat_with_json_output(
    agent: Agent | None,
    messages: Messages,
    schema: JSON | None = None,
    *,
    model: str = "",
    sampling: Sampling | None = None,
) -> Program[Any]:
    """Ask the model for JSON and return the value; raises `CoreError` where it is none, or does not fit the schema."""
    shape: JSON = {"type": "json_object"}
    if schema is not None:
        shape = {"type": "json_schema", "json_schema": {"name": "answer", "schema": dict(schema), "strict": True}}
    call = ChatCall(
        agent=agent,
        model=model,
        messages=conversation(messages),
        sampling=sampling or Sampling(),
        response_format=shape,
    )
    reply: Reply = yield Step(call)
    try:
        value = json.loads(reply.text)
    except ValueError as error:
        cut = "; it was cut off at max_tokens" if reply.finish_reason == "length" else ""
        raise CoreError(f"the model's reply is not JSON ({error}{cut}): {reply.text[:200]!r}") from error
    wrong = [] if schema is None else problems(value, schema)
    if wrong:
        raise CoreError(f"the model's reply does not fit the schema: {'; '.join(wrong)}")
    return value


def llm_chat_with_tool_call_output(
    agent: Agent | None,
    messages: Messages,
    tools: Sequence[str | JSON],
    *,
    tool_choice: str | JSON | None = None,
    model: str = "",
    sampling: Sampling | None = None,
) -> Program[Reply]:
    """Ask the model with tools: patterns of the kernel's, or specs in the form of the OpenAI API; nothing is run.

    The reply's `tool_calls` have the full names of the kernel's tools, so that `call_tool` takes them; `text` is what
    the model said besides.
    """
    offer = yield from offered(agent, tools)
    call = ChatCall(
        agent=agent,
        model=model,
        messages=conversation(messages),
        tools=offer.specs,
        tool_choice=tool_choice,
        sampling=sampling or Sampling(),
    )
    reply: Reply = yield Step(call)
    calls = tuple(replace(one, name=offer.full.get(one.name, one.name)) for one in reply.tool_calls)
    return replace(reply, tool_calls=calls)


def conversation(messages: Messages) -> tuple[JSON, ...]:
    """The messages as a core takes them."""
    return ({"role": "user", "content": messages},) if isinstance(messages, str) else tuple(messages)
