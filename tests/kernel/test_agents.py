"""The kernel's own agents: every call a syscall of the agent, the same in threads and event loops, and no denial ends them."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import pytest

from aios_kernel.abi import ChatCall, Reply
from aios_kernel.agents import Feedback, ReActAgent, ReflexionAgent
from aios_kernel.cores.scripted import ScriptedCore
from aios_kernel.errors import AccessDenied, CoreError
from aios_kernel.kernel import Kernel


def multiply(a: int, b: int) -> int:
    """Multiply two whole numbers."""
    return a * b


async def amultiply(a: int, b: int) -> int:
    """Multiply two whole numbers, slowly."""
    await asyncio.sleep(0)
    return a * b


def _script(*replies: str):
    """A core that gives one reply after the other and keeps the calls."""
    calls: list[ChatCall] = []

    def answer(call: Any) -> Reply:
        calls.append(call)
        return Reply(text=replies[len(calls) - 1])

    return ScriptedCore(answer), calls


def _act(tool: str, arguments: str) -> str:
    return f"Thought: I need {tool}.\nAction: {tool}\nAction Input: {arguments}\nObservation: made up"


def _counts(kernel: Kernel, name: str) -> dict[str, int]:
    return next(row["syscalls"] for row in kernel.status().agents if row["name"] == name)


@pytest.fixture(params=["thread", "loop"])
def run(request):
    """Run an agent both ways."""
    if request.param == "thread":
        return lambda agent, task: agent.run(task)
    return lambda agent, task: asyncio.run(agent.arun(task))


def test_react(run):
    """It acts, observes the true result and answers; model and tool calls are the agent's syscalls."""
    core, calls = _script(_act("multiply", '{"a": 6, "b": 7}'), "Final Answer: 42")
    kernel = Kernel(llm=core)
    done = run(ReActAgent(kernel, tools=[multiply], agent="ann"), "What is 6 x 7?")
    assert done.answer == "42"
    assert [(turn.tool, turn.arguments, turn.observation) for turn in done.turns] == [
        ("multiply", {"a": 6, "b": 7}, "42")
    ]
    assert _counts(kernel, "ann") == {"llm": 2, "tool": 1}
    assert "multiply(a: integer, b: integer) - Multiply two whole numbers." in calls[0].messages[0]["content"]
    assert "made up" not in str(calls[1].messages)
    assert calls[1].messages[-1]["content"] == "Observation: 42"
    kernel.close()


def test_react_reads_what_went_wrong(run):
    """Unknown tools, wrong arguments, replies that are no step, and denials are observations, and it goes on."""

    def refuse(call, process):
        if call.kind == "tool" and call.arguments.get("a") == 1:
            raise AccessDenied("not with a one")

    core, _ = _script(
        _act("divide", "{}"),
        _act("multiply", '{"a": 6}'),
        "hm",
        _act("multiply", '{"a": 1, "b": 2}'),
        "Final Answer: no",
    )
    kernel = Kernel(llm=core, checks=(refuse,))
    done = run(ReActAgent(kernel, tools=[multiply]), "?")
    told = [turn.observation for turn in done.turns]
    assert told[0] == "error: there is no tool 'divide'; the tools are: multiply"
    assert "missing 1 required positional argument: 'b'" in told[1]
    assert told[2].startswith("Reply with Action")
    assert told[3] == "error: not with a one"
    assert done.answer == "no"
    kernel.close()


def test_react_ends(run):
    """A model that never answers stops at max_turns."""
    core, _ = _script(*["hm"] * 3)
    kernel = Kernel(llm=core)
    done = run(ReActAgent(kernel, max_turns=3), "?")
    assert (done.answer, len(done.turns)) == (None, 3)
    kernel.close()


def test_coroutine_tools():
    """They work in an event loop; in a thread the model is told how to run them, and nothing is left unawaited."""
    core, _ = _script(*[_act("amultiply", '{"a": 6, "b": 7}'), "Final Answer: 42"] * 2)
    kernel = Kernel(llm=core)
    agent = ReActAgent(kernel, tools=[amultiply])
    assert asyncio.run(agent.arun("?")).turns[0].observation == "42"
    assert "arun" in agent.run("?").turns[0].observation
    kernel.close()


def test_agents_at_the_same_time():
    """Many agents share one limited core, in one event loop, and each gets its own answer."""

    def answer(call: Any) -> Reply:
        last = call.messages[-1]["content"]
        if last.startswith("Observation: "):
            return Reply(text=f"Final Answer: {last.removeprefix('Observation: ')}")
        return Reply(text=_act("amultiply", f'{{"a": {last}, "b": 2}}'))

    kernel = Kernel(llm=ScriptedCore(answer), policy="wfq", limits={"tool:amultiply": {"in_flight": 2}})

    async def main() -> list[str | None]:
        agents = [ReActAgent(kernel, tools=[amultiply], agent=f"a{i}") for i in range(20)]
        runs = await asyncio.gather(*(agent.arun(str(i)) for i, agent in enumerate(agents)))
        return [done.answer for done in runs]

    assert asyncio.run(main()) == [str(2 * i) for i in range(20)]
    kernel.close()


def test_without_a_core_that_serves():
    """The error says what to give the kernel."""
    kernel = Kernel()
    with pytest.raises(CoreError, match="llm="):
        ReActAgent(kernel, model="m").run("?")
    kernel.close()


def test_a_closed_kernel_ends_the_agent_and_a_cancelled_one_gives_back():
    """Cancelling a run leaves nothing held."""
    kernel = Kernel(llm=ScriptedCore(lambda call: _act("wait", "{}")))

    async def main() -> None:
        started = asyncio.Event()

        async def wait() -> None:
            """Wait."""
            started.set()
            await asyncio.Event().wait()

        task = asyncio.create_task(ReActAgent(kernel, tools=[wait]).arun("?"))
        await started.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(main())
    assert not any(row["running"] for row in kernel.status().resources)
    kernel.close()


def _check(solution: str) -> Feedback:
    scope: dict = {}
    exec(solution, scope)
    got = scope["double"](4)
    return Feedback(passed=got == 8, report=f"double(4) gave {got}")


def test_reflexion(run):
    """It fails, learns from the report, and the next attempt sees what was learnt."""
    core, calls = _script("def double(x): return x + 1", "Multiply instead of adding.", "def double(x): return 2 * x")
    kernel = Kernel(llm=core)
    agent = ReflexionAgent(kernel, _check, agent="rex")
    done = run(agent, "Write double(x).")
    assert (done.passed, done.solution) == (True, "def double(x): return 2 * x")
    assert [trial.reflection for trial in done.trials] == ["Multiply instead of adding.", ""]
    assert "double(4) gave 5" in calls[1].messages[1]["content"]
    assert "Multiply instead of adding." in calls[2].messages[1]["content"]
    assert agent.reflections == ["Multiply instead of adding."]
    assert _counts(kernel, "rex") == {"memory": 3, "llm": 3, "tool": 2}
    kernel.close()


def test_reflexion_learns_from_crashes_and_gives_up(run):
    """Code that does not run and code that may not run are failures; the last trial does not reflect."""
    core, calls = _script("def double(", "Close the bracket.", "def double(")
    kernel = Kernel(llm=core)
    done = run(ReflexionAgent(kernel, _check, max_trials=2), "Write double(x).")
    assert not done.passed
    assert done.trials[0].feedback.report.startswith("SyntaxError")
    assert len(calls) == 3
    kernel.close()


def test_threads_of_agents():
    """Agents in threads share the kernel; none waits for ever."""
    kernel = Kernel(llm=ScriptedCore(lambda call: Reply(text="Final Answer: ok")), limits={"llm:*": {"in_flight": 2}})
    answers: list[str | None] = []
    threads = [
        threading.Thread(target=lambda i=i: answers.append(ReActAgent(kernel, agent=f"a{i}").run("?").answer))
        for i in range(16)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert answers == ["ok"] * 16
    kernel.close()


@pytest.mark.parametrize(
    "make", [lambda k: ReActAgent(k, max_turns=0), lambda k: ReflexionAgent(k, _check, max_trials=0)]
)
def test_bad_limits(make):
    """A limit below one is refused at once."""
    kernel = Kernel()
    with pytest.raises(ValueError, match="use 1 or more"):
        make(kernel)
    kernel.close()
