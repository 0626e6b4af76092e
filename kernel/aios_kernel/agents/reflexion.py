"""A Reflexion agent: it attempts, is tested, reflects on what failed and attempts again. Source: arXiv 2303.11366."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from aios_kernel.abi import Agent, ChatCall, MemoryCall, Reply, Sampling, ToolCall
from aios_kernel.agents.steps import Program, Step, arun, run

if TYPE_CHECKING:
    from aios_kernel.gate import Gate

__all__ = ["Feedback", "ReflexionAgent", "Trial", "Trials"]

Messages = Sequence[Mapping[str, Any]]
ATTEMPT = "Solve the task. Reply with the solution only."
REFLECT = (
    "Your solution failed its tests. Say in one or two sentences what was wrong and what to do differently next time."
)


@dataclass(frozen=True, slots=True)
class Feedback:
    """What the tests said of a solution."""

    passed: bool
    report: str = ""


@dataclass(frozen=True, slots=True)
class Trial:
    """One attempt; `reflection` is "" for the last one."""

    solution: str
    feedback: Feedback
    reflection: str = ""


@dataclass(frozen=True, slots=True)
class Trials:
    """Every attempt at a task, in order."""

    trials: tuple[Trial, ...]

    @property
    def passed(self) -> bool:
        """Whether the last attempt passed its tests."""
        return self.trials[-1].feedback.passed

    @property
    def solution(self) -> str:
        """The last attempt."""
        return self.trials[-1].solution


class ReflexionAgent:
    """Solve a task in several trials, with tests as feedback and reflections as memory.

    `check` tests a solution and may be a coroutine function for `arun`; it is a tool call of the agent, marked as the
    execution of model-written code, since that is what it usually is. `reflections` holds what was learnt, oldest
    first; an attempt sees the last `remembered` of them. What `check` raises is the feedback that it failed.
    """

    def __init__(
        self,
        gate: Gate,
        check: Callable[[str], Feedback | Awaitable[Feedback]],
        *,
        agent: Agent | str = "reflexion",
        model: str = "",
        max_trials: int = 3,
        remembered: int = 3,
        sampling: Sampling | None = None,
    ) -> None:
        if max_trials < 1:
            raise ValueError(f"max_trials is {max_trials}: use 1 or more")
        self.agent = Agent(name=agent) if isinstance(agent, str) else agent
        self.max_trials, self.remembered = max_trials, remembered
        self.reflections: list[str] = []
        self._gate, self._check, self._model = gate, check, model
        self._sampling = sampling or Sampling(temperature=0.0, max_tokens=512)

    def run(self, task: str) -> Trials:
        """Solve a task in this thread."""
        return run(self._gate, self._program(task))

    async def arun(self, task: str) -> Trials:
        """Solve a task in the caller's event loop."""
        return await arun(self._gate, self._program(task))

    def _program(self, task: str) -> Program[Trials]:
        trials: list[Trial] = []
        while True:
            learnt: list[str] = yield self._memory("get", lambda: self.reflections[-self.remembered :])
            solution = yield from self._say(_attempt(task, learnt))
            feedback = yield from self._test(solution)
            if feedback.passed or len(trials) + 1 == self.max_trials:
                return Trials((*trials, Trial(solution, feedback)))
            reflection = yield from self._say(_reflect(task, solution, feedback))
            yield self._memory("add", lambda text=reflection: self.reflections.append(text))
            trials.append(Trial(solution, feedback, reflection))

    def _say(self, messages: Messages) -> Program[str]:
        call = ChatCall(agent=self.agent, model=self._model, messages=messages, sampling=self._sampling)
        reply: Reply = yield Step(call)
        return reply.text.strip()

    def _test(self, solution: str) -> Program[Feedback]:
        call = ToolCall(agent=self.agent, name="check", arguments={"solution": solution}, code=True)
        try:
            return (yield Step(call, lambda: self._check(solution)))
        except Exception as error:  # noqa: BLE001 - tests may be anybody's; a crash is a failure to learn from
            return Feedback(passed=False, report=f"{type(error).__name__}: {error}")

    def _memory(self, verb: Any, work: Callable[[], Any]) -> Step:
        return Step(MemoryCall(agent=self.agent, verb=verb, arguments={"store": "reflections"}), work)


def _attempt(task: str, reflections: Sequence[str]) -> Messages:
    learnt = "\n".join(f"- {text}" for text in reflections)
    asked = f"{task}\n\nWhat you learnt from earlier attempts:\n{learnt}" if reflections else task
    return ({"role": "system", "content": ATTEMPT}, {"role": "user", "content": asked})


def _reflect(task: str, solution: str, feedback: Feedback) -> Messages:
    told = f"Task:\n{task}\n\nSolution:\n{solution}\n\nTests:\n{feedback.report}"
    return ({"role": "system", "content": REFLECT}, {"role": "user", "content": told})
