"""A ReAct agent: it thinks, acts with tools and observes, until it has an answer. Source: arXiv 2210.03629."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from aios_kernel import react
from aios_kernel.abi import Agent, ChatCall, Reply, Sampling, ToolCall
from aios_kernel.agents.schema import tool_spec
from aios_kernel.agents.steps import Program, Step, arun, run

if TYPE_CHECKING:
    from aios_kernel.gate import Gate

__all__ = ["ReActAgent", "Run", "Turn"]


@dataclass(frozen=True, slots=True)
class Turn:
    """One turn: what the model said, and what it observed; `tool` is None where its reply could not be read."""

    said: str
    tool: str | None
    arguments: Mapping[str, Any]
    observation: str


@dataclass(frozen=True, slots=True)
class Run:
    """What came of a question; `answer` is None when the turns ran out."""

    answer: str | None
    turns: tuple[Turn, ...]


class ReActAgent:
    """Answer questions with tools, each call of the model and of a tool being a syscall of the agent.

    `tools` are callables with annotations and docstrings, also coroutine functions for `arun`. What a tool raises, and
    what the kernel refuses, the model reads as an observation. Raises `SyscallError` when the model cannot be called.
    """

    def __init__(
        self,
        gate: Gate,
        *,
        tools: Sequence[Callable[..., Any]] = (),
        agent: Agent | str = "react",
        model: str = "",
        max_turns: int = 8,
        sampling: Sampling | None = None,
    ) -> None:
        if max_turns < 1:
            raise ValueError(f"max_turns is {max_turns}: use 1 or more")
        self.agent = Agent(name=agent) if isinstance(agent, str) else agent
        self.max_turns = max_turns
        self._gate, self._model = gate, model
        self._tools = {tool.__name__: tool for tool in tools}
        self._specs = [tool_spec(tool) for tool in tools]
        self._sampling = replace(sampling or Sampling(temperature=0.0, max_tokens=256), stop=(react.STOP,))

    def run(self, question: str) -> Run:
        """Answer a question in this thread."""
        return run(self._gate, self._program(question))

    async def arun(self, question: str) -> Run:
        """Answer a question in the caller's event loop."""
        return await arun(self._gate, self._program(question))

    def _program(self, question: str) -> Program[Run]:
        messages, turns = list[Mapping[str, Any]](react.format_prompt(self._specs, question)), list[Turn]()
        while len(turns) < self.max_turns:
            call = ChatCall(agent=self.agent, model=self._model, messages=tuple(messages), sampling=self._sampling)
            reply: Reply = yield Step(call)
            said = react.parse(reply.text)
            if isinstance(said, react.Answer):
                return Run(said.text, tuple(turns))
            if isinstance(said, react.Unreadable):
                turn = Turn(reply.text, None, {}, said.reason)
            else:
                turn = Turn(reply.text, said.name, said.arguments, (yield from self._act(said)))
            turns.append(turn)
            messages += react.observation(reply.text, turn.observation)
        return Run(None, tuple(turns))

    def _act(self, action: react.Action) -> Program[str]:
        tool = self._tools.get(action.name)
        if tool is None:
            known = ", ".join(sorted(self._tools)) or "none"
            return f"error: there is no tool {action.name!r}; the tools are: {known}"
        call = ToolCall(agent=self.agent, name=action.name, arguments=action.arguments)
        try:
            result = yield Step(call, lambda: tool(**action.arguments))
        except Exception as error:  # noqa: BLE001 - a tool may be anybody's, and the model can act on its errors
            return f"error: {error}"
        return result if isinstance(result, str) else json.dumps(result, default=str)
