"""Tools and code: each use is one syscall, and what the kernel refuses reaches the model as a failed tool."""

from __future__ import annotations

import asyncio

import pytest
from ag2 import tool
from ag2.events import ToolErrorEvent
from ag2.stream import MemoryStream
from ag2.testing import TestConfig
from ag2.tools.code import SandboxCodeTool
from ag2.tools.sandbox import LocalEnvironment

from aios_kernel.abi import ToolCall
from aios_kernel.errors import AccessDenied
from aios_kernel.identity import current_agent
from aios_kernel.kernel import Kernel
from tests.adapters.ag2.programs import agent, ask, config, measure, weigh
from tests.support.columns import ASYNC, CODE, DENIAL, IDENTITY, TOOLS


@pytest.fixture
def deny(enabled):
    """Start a kernel that refuses tools by name, and notes the calls that it sees."""
    kernels, calls = [], []

    def start(*names):
        def check(call, process):
            if isinstance(call, ToolCall):
                calls.append((process.name, call))
                if call.name in names:
                    raise AccessDenied(f"{process.name} may not use {call.name}")

        kernels.append(Kernel(checks=(check,)))
        enabled(kernel=kernels[-1])
        return calls

    yield start
    for kernel in kernels:
        kernel.close()


def told(endpoint):
    """What the model was told of its tools in the last request."""
    return [message["content"] for message in endpoint.requests[-1].body["messages"] if message["role"] == "tool"]


@pytest.mark.shows(TOOLS, DENIAL, ASYNC)
async def test_denied(endpoint, deny):
    """The agent goes on, the other tool runs, and the model reads why one was refused, without a traceback."""
    calls = deny("weigh")
    assert (await ask(endpoint.base_url, "weigh and measure"))[0] == "all done"
    refused, measured = told(endpoint)
    assert "alice may not use weigh" in refused
    assert "Traceback" not in refused
    assert measured == "apple 1 is 8 cm wide"
    asked = {call.name: (name, call.arguments, bool(call.call_id)) for name, call in calls}
    assert asked == {"weigh": ("alice", {"what": "apple 0"}, True), "measure": ("alice", {"what": "apple 1"}, True)}


@pytest.mark.shows(TOOLS)
async def test_own_exception(endpoint, enabled):
    """What a tool raises is AG2's own event, with the kernel as without, and has failed."""

    def fail(what: str) -> str:
        """Fail."""
        raise ZeroDivisionError(what)

    async def run():
        stream, errors = MemoryStream(), []

        @stream.where(ToolErrorEvent).subscribe
        async def listen(event: ToolErrorEvent) -> None:
            errors.append(repr(event.error))

        reply = await agent(config(endpoint.base_url), tools=[fail]).ask("fail", stream=stream)
        return reply.body, errors

    native = await run()
    assert native == ("all done", ["ZeroDivisionError('apple 0')"])
    kernel = enabled()
    assert await run() == native
    (row,) = [row for row in kernel.status().agents if "tool" in row["syscalls"]]
    assert (row["syscalls"]["tool"], row["failed"]) == (1, 1)


@pytest.mark.shows(TOOLS)
async def test_limited(endpoint, enabled):
    """A tool of which one may run at a time runs once at a time, for all agents."""
    running, most = 0, 0

    async def weigh(what: str) -> str:
        """Weigh a thing."""
        nonlocal running, most
        running += 1
        most = max(most, running)
        for _ in range(5):
            await asyncio.sleep(0)
        running -= 1
        return what

    enabled(limits={"tool:weigh": {"in_flight": 1}})
    llm = config(endpoint.base_url)
    replies = await asyncio.gather(*(agent(llm, name, tools=[weigh]).ask("weigh") for name in "abc"))
    assert [reply.body for reply in replies] == ["all done"] * 3
    assert most == 1


@pytest.mark.shows(TOOLS)
async def test_middleware_and_copies(endpoint, enabled):
    """A tool with middleware of its own, and a copy of it, are one call each."""
    seen = []

    async def watch(call, event, context):
        seen.append(event.name)
        return await call(event, context)

    kernel = enabled()
    watched = tool(weigh).with_middleware(watch)
    await agent(config(endpoint.base_url), tools=[watched]).ask("weigh")
    assert (seen, kernel.status().syscalls["tool"]) == (["weigh"], 1)


@pytest.mark.parametrize("denied", [False, True])
@pytest.mark.shows(CODE, DENIAL)
async def test_code(denied, endpoint, deny, tmp_path):
    """Code that a model wrote is a tool call marked as code; a refusal is what the model reads instead of its output."""
    calls = deny(*["run_code"] if denied else [])
    coder = agent(config(endpoint.base_url), "coder", tools=[SandboxCodeTool(LocalEnvironment(tmp_path))])
    assert (await coder.ask("run_code")).body == "all done"
    (output,) = told(endpoint)
    assert ("coder may not use run_code" in output, "42" in output) == (denied, not denied)
    ((name, call),) = calls
    assert (name, call.code, call.arguments["code"]) == ("coder", True, "print(6 * 7)")


@pytest.mark.shows(TOOLS, IDENTITY)
async def test_functions_keep_their_agent(endpoint, enabled):
    """Plain functions run in a thread and coroutines in the loop; what they call is their agent's."""
    seen = []

    def weigh(what: str) -> str:
        """Weigh a thing."""
        seen.append(current_agent.get().name)
        return what

    enabled()
    llm = config(endpoint.base_url)
    await asyncio.gather(*(agent(llm, name, tools=[weigh, measure]).ask("weigh") for name in ("alice", "bob")))
    assert sorted(seen) == ["alice", "bob"]


async def test_arguments_that_are_no_json(enabled):
    """What a model got wrong fails as it does without the kernel."""
    from ag2.events import ToolCallEvent

    def llm():
        return TestConfig(ToolCallEvent("weigh", arguments="no json"), "done", raise_tool_errors=False)

    async def run():
        try:
            return (await agent(llm()).ask("go")).body
        except ValueError as error:
            return repr(error)

    native = await run()
    enabled()
    assert await run() == native
