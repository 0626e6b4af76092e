"""Runs of agents: leased and served, with tools that may be refused, histories, and many at the same time."""

from __future__ import annotations

import asyncio
import json
from concurrent.futures import ThreadPoolExecutor

import pytest
from agent_framework import Agent, InMemoryHistoryProvider, tool

from aios_kernel.abi import MemoryCall, Reply, ToolCall, ToolRequest, Usage
from aios_kernel.cores.scripted import ScriptedCore
from aios_kernel.errors import AccessDenied
from aios_kernel.kernel import Kernel
from tests.adapters.agent_framework.programs import ASYNC, agent, client, fail, seen, weigh
from tests.support.columns import ASYNC as ASYNCHRONOUS
from tests.support.columns import DENIAL, IDENTITY, LEASE, MEMORY, ONCE, SERVE, STREAM, TOOLS
from tests.support.runs import requests


def callers(kernel):
    """What each agent called, by name."""
    rows = [row for row in kernel.status().agents if row["syscalls"]]
    return sorted((row["name"], row["syscalls"].get("llm", 0), row["syscalls"].get("tool", 0)) for row in rows)


@pytest.mark.shows(LEASE, ONCE, STREAM, ASYNCHRONOUS, TOOLS)
@pytest.mark.parametrize("name", ASYNC)
async def test_programs(name, endpoint, enabled):
    """Results, streamed pieces, requests and the number of syscalls."""
    program, *expected = ASYNC[name]
    await program(endpoint.base_url)  # the framework names the features used so far in its requests
    endpoint.reset()
    native = seen(await program(endpoint.base_url))
    sent = requests(endpoint)
    endpoint.reset()
    kernel = enabled()
    assert seen(await program(endpoint.base_url)) == native
    assert requests(endpoint) == sent
    assert callers(kernel) == [("bob", *expected)]
    assert not any(queue["running"] for queue in kernel.status().resources)


def answer(call):
    """The first tool in answer to a user, or three words."""
    tools = [tool["function"]["name"] for tool in call.tools]
    if tools and call.messages[-1]["role"] == "user":
        return Reply(tool_calls=(ToolRequest(id="call_1", name=tools[0], arguments=json.dumps({"what": "pear"})),))
    return Reply(text="hello big world", usage=Usage(input_tokens=5, output_tokens=3))


@pytest.mark.shows(SERVE, STREAM, TOOLS, ASYNCHRONOUS)
async def test_served(endpoint, enabled):
    """A core answers whole runs and streams, token by token, and the network hears nothing."""
    kernel = enabled(llm=ScriptedCore(answer))
    one = agent(endpoint.base_url)
    result = await one.run("x")
    assert result.text == "hello big world"
    assert "pear weighs 450 g" in str([message.to_dict() for message in result.messages])
    pieces = [piece.text async for piece in one.run("x", stream=True)]
    assert [piece for piece in pieces if piece] == ["hello ", "big ", "world"]
    assert kernel.status().syscalls == {"llm": 4, "tool": 2}
    assert endpoint.requests == []


@pytest.mark.shows(DENIAL, TOOLS)
@pytest.mark.parametrize("streamed", [False, True])
async def test_denied(streamed, endpoint, deny):
    """The run goes on, and the model reads why in the next request."""
    deny("weigh")
    run = agent(endpoint.base_url).run("weigh", stream=streamed)
    result = await run.get_final_response() if streamed else await run
    assert result.text.endswith("It is done.")
    assert endpoint.requests[1].body["messages"][-1]["content"] == "bob may not use weigh"
    (call,) = [call for call in deny.calls if isinstance(call, ToolCall)]
    assert (call.name, call.arguments) == ("weigh", {"what": "apple 0"})
    assert call.call_id == endpoint.requests[1].body["messages"][-1]["tool_call_id"]


@pytest.mark.shows(TOOLS)
async def test_failures_are_failed_syscalls(endpoint, enabled):
    """A tool that raises counts as failed."""
    kernel, ends = enabled(), []
    kernel.bus.subscribe(lambda event: ends.append(event.name) if event.kind == "tool" else None)
    await agent(endpoint.base_url, tools=(fail,)).run("fail")
    assert ends[-1] == "fail"
    assert (await weigh.invoke(arguments={"what": "pear"}))[0].text == "pear weighs 450 g"
    assert ends[-1] == "finish"


@pytest.mark.shows(TOOLS, ASYNCHRONOUS)
async def test_limited(endpoint, enabled):
    """With one use at a time, uses of a tool do not overlap, and nothing is lost."""
    running, most = 0, 0

    @tool(name="weigh", approval_mode="never_require")
    async def slow(what: str) -> str:
        """Weigh."""
        nonlocal running, most
        running += 1
        most = max(most, running)
        await asyncio.sleep(0.01)
        running -= 1
        return f"{what} weighs 450 g"

    agents = [agent(endpoint.base_url, f"agent-{n}", tools=(slow,)) for n in range(4)]
    await asyncio.gather(*(one.run("weigh") for one in agents))
    assert most > 1
    most = 0
    enabled(limits={"tool:weigh": {"in_flight": 1}})
    results = await asyncio.gather(*(one.run("weigh") for one in agents))
    assert most == 1
    assert {result.text for result in results} == {"It is done."}


@pytest.mark.shows(IDENTITY, ONCE)
async def test_an_agent_as_a_tool(endpoint, enabled):
    """An agent that is another's tool is itself; the tool's use is its user's; neither waits for its own turn."""
    kernel = enabled(limits={"llm:*": {"in_flight": 1}})
    inner = agent(endpoint.base_url, "inner")
    helper = inner.as_tool(name="helper", description="Ask.", approval_mode="never_require")
    await Agent(client(endpoint.base_url), name="outer", tools=[helper]).run("helper")
    assert callers(kernel) == [("inner", 1, 0), ("outer", 2, 1)]


@pytest.mark.shows(IDENTITY, ASYNCHRONOUS)
async def test_at_the_same_time(endpoint, enabled):
    """Twenty runs in one event loop, half of them streamed, keep their names; so does whoever reads the streams."""
    kernel = enabled()

    async def read(one):
        async for _ in one.run("weigh", stream=True):
            await asyncio.sleep(0)
        await client(endpoint.base_url).get_response("hello")

    agents = [agent(endpoint.base_url, f"agent-{n:02}") for n in range(20)]
    await asyncio.gather(*(one.run("weigh") for one in agents[:10]), *(read(one) for one in agents[10:]))
    assert callers(kernel) == [*((f"agent-{n:02}", 2, 1) for n in range(20)), ("root", 10, 0)]


@pytest.mark.shows(IDENTITY)
def test_in_threads(endpoint, enabled):
    """Runs in threads with loops of their own keep their names; agents without one are told apart."""
    kernel = enabled()

    async def run(name):
        await agent(endpoint.base_url, name).run("weigh")

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda name: asyncio.run(run(name)), ["a", "b", None, None]))
    assert callers(kernel) == [("Agent", 2, 1), ("Agent", 2, 1), ("a", 2, 1), ("b", 2, 1)]


@pytest.mark.shows(MEMORY, DENIAL)
async def test_history(endpoint, enabled):
    """What a run reads and keeps of its session is its agent's; a refused write raises."""
    calls, refuse = [], []

    def check(call, process):
        calls.append((process.name, call))
        if refuse and isinstance(call, MemoryCall) and call.verb == "add":
            raise AccessDenied("not yours")

    kernel = Kernel(checks=(check,))
    enabled(kernel=kernel)
    one = Agent(client(endpoint.base_url), name="bob", context_providers=[InMemoryHistoryProvider()])
    session = one.create_session(session_id="s")
    await one.run("hello", session=session)
    await one.run("hello again", session=session, stream=True).get_final_response()
    assert len(endpoint.requests[1].body["messages"]) == 3
    kept = [(name, call.verb) for name, call in calls if isinstance(call, MemoryCall)]
    assert kept == [("bob", "get"), ("bob", "add")] * 2
    (first,) = [call for _, call in calls if isinstance(call, MemoryCall) and call.verb == "add"][:1]
    assert (first.arguments["session"], first.arguments["messages"][0]["content"]) == ("s", "hello")
    refuse.append(1)
    with pytest.raises(AccessDenied, match="not yours"):
        await one.run("hello", session=session)
    kernel.close()


@pytest.mark.shows(STREAM)
async def test_a_stream_that_is_closed_gives_back_its_turn(endpoint, enabled):
    """Whoever stops reading and closes the stream holds nobody up."""
    kernel = enabled(limits={"llm:*": {"in_flight": 1}})
    for _ in range(3):
        stream = agent(endpoint.base_url, tools=()).run("hello", stream=True)
        async for _ in stream:
            break
        await stream.close()
        assert not any(queue["running"] for queue in kernel.status().resources)
