"""Tools: called by the agent, or by the model until it has its answer."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from aios_kernel.abi import ChatCall, Reply, Sampling, ToolCall, ToolRequest, Usage
from aios_kernel.agents.steps import Program, Step
from aios_kernel.errors import (
    AgentKilled,
    BudgetExceeded,
    CoreError,
    JournalError,
    KernelClosed,
    KernelLost,
    KernelRefused,
    PolicyError,
    SyscallError,
)
from aios_kernel.sdk.programs.chat import JSON, Messages, conversation
from aios_kernel.sdk.programs.offering import Offer, offered

if TYPE_CHECKING:
    from aios_kernel.abi import Agent

__all__ = ["Answer", "Use", "call_tool", "llm_call_tool", "llm_operate_file"]

FILES = ("aios/read_file", "aios/write_file", "aios/list_files", "aios/delete_file")
#: What a model cannot do anything about.
FATAL = (
    AgentKilled,
    BudgetExceeded,
    CoreError,
    JournalError,
    KernelClosed,
    KernelLost,
    KernelRefused,
    PolicyError,
)


@dataclass(frozen=True, slots=True)
class Use:
    """One use of a tool: its full name, the arguments as the model wrote them, and the result or the error."""

    name: str
    arguments: str
    result: Any = None
    error: SyscallError | None = None


@dataclass(frozen=True, slots=True)
class Answer:
    """What came of it: `text` is None when the turns ran out; `messages` is the conversation with all that was said."""

    text: str | None
    uses: tuple[Use, ...]
    messages: tuple[JSON, ...]
    usage: Usage


def call_tool(agent: Agent | None, tool: str | ToolRequest, arguments: Mapping[str, Any] | None = None) -> Program[Any]:
    """Call a tool by its full name, or as a model asked for it, and return its result; raises `ToolError`."""
    if isinstance(tool, ToolRequest):
        if arguments is not None:
            raise TypeError("a model's request has arguments of its own: pass a tool's name to pass others")
        call = ToolCall(agent=agent, name=tool.name, arguments=tool.arguments, call_id=tool.id)
    else:
        call = ToolCall(agent=agent, name=tool, arguments=dict(arguments or {}))
    reply: Reply = yield Step(call)
    return reply.data


def llm_call_tool(
    agent: Agent | None,
    messages: Messages,
    tools: Sequence[str],
    *,
    max_turns: int = 8,
    model: str = "",
    sampling: Sampling | None = None,
) -> Program[Answer]:
    """Have the model use tools (full names or patterns, as "aios/*") until it answers, at most `max_turns` times.

    No other tools are run. What a tool raises, and what is denied, the model reads as text and can act on; what ends
    the agent, its budget or the kernel is raised.
    """
    if max_turns < 1:
        raise ValueError(f"max_turns is {max_turns}: use 1 or more")
    offer = yield from offered(agent, tools)
    said, uses, usage = list(conversation(messages)), list[Use](), Usage()
    for _ in range(max_turns):
        call = ChatCall(
            agent=agent, model=model, messages=tuple(said), tools=offer.specs, sampling=sampling or Sampling()
        )
        reply: Reply = yield Step(call)
        usage += reply.usage
        said.append(_message(reply))
        if not reply.tool_calls:
            return Answer(reply.text, tuple(uses), tuple(said), usage)
        for request in reply.tool_calls:
            use, text = yield from _used(agent, offer, request)
            uses.append(use)
            said.append({"role": "tool", "tool_call_id": request.id, "content": text})
    return Answer(None, tuple(uses), tuple(said), usage)


def llm_operate_file(
    agent: Agent | None,
    messages: Messages,
    *,
    tools: Sequence[str] = FILES,
    max_turns: int = 8,
    model: str = "",
    sampling: Sampling | None = None,
) -> Program[Answer]:
    """Have the model read, write, list and delete the agent's files until it answers."""
    return (yield from llm_call_tool(agent, messages, tools, max_turns=max_turns, model=model, sampling=sampling))


def _used(agent: Agent | None, offer: Offer, request: ToolRequest) -> Program[tuple[Use, str]]:
    """Run what the model asked for; what came of it, and what the model is told."""
    name = offer.full.get(request.name)
    if name is None:
        known = ", ".join(offer.full) or "none"
        text = f"error: there is no tool named {request.name!r}. Known: {known}"
        return Use(request.name, request.arguments, error=SyscallError(text.removeprefix("error: "))), text
    call = ToolCall(agent=agent, name=name, arguments=request.arguments, call_id=request.id)
    try:
        reply: Reply = yield Step(call)
    except SyscallError as error:
        if isinstance(error, FATAL):
            raise
        return Use(name, request.arguments, error=error), f"error: {error}"
    result = reply.data
    text = result if isinstance(result, str) else json.dumps(result, ensure_ascii=False)
    return Use(name, request.arguments, result), text


def _message(reply: Reply) -> JSON:
    """The model's message as it goes back to it, with the text that came with tool calls."""
    if not reply.tool_calls:
        return {"role": "assistant", "content": reply.text}
    calls = [
        {"id": one.id, "type": "function", "function": {"name": one.name, "arguments": one.arguments}}
        for one in reply.tool_calls
    ]
    return {"role": "assistant", "content": reply.text or None, "tool_calls": calls}
