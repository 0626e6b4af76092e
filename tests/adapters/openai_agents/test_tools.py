"""Function tools: each use is one syscall, and what the kernel refuses is the output that the model reads."""

from __future__ import annotations

import asyncio

import pytest
from agents import Agent, Runner, function_tool

from aios_kernel.abi import ToolCall
from tests.adapters.openai_agents.programs import agent, fail, model, team, weigh
from tests.support.columns import ASYNC, DENIAL, IDENTITY, TOOLS

pytestmark = pytest.mark.shows(TOOLS)


def tools_called(deny):
    return [call for call in deny.calls if isinstance(call, ToolCall)]


def outputs(result):
    return [item.output for item in result.new_items if item.type == "tool_call_output_item"]


@pytest.mark.shows(DENIAL)
@pytest.mark.parametrize("streamed", [False, True])
async def test_denied(streamed, endpoint, deny):
    """The run goes on, and the model reads why in the next request, of which the SDK itself would say nothing."""
    deny("weigh")
    if streamed:
        result = Runner.run_streamed(agent(endpoint.base_url), "weigh")
        async for _ in result.stream_events():
            pass
    else:
        result = await Runner.run(agent(endpoint.base_url), "weigh")
    assert result.final_output == "It is done."
    (told,) = outputs(result)
    assert told == "bob may not use weigh"
    assert endpoint.requests[1].body["messages"][-1]["content"] == told
    (call,) = tools_called(deny)
    assert (call.name, call.arguments) == ("weigh", {"what": "apple 0"})
    assert call.call_id == endpoint.requests[1].body["messages"][-1]["tool_call_id"]


@pytest.mark.shows(DENIAL)
async def test_denied_in_the_tools_own_words(endpoint, deny):
    """A tool's own message for failures is that for refusals; a tool that has none does not end the run either."""
    deny("weigh")
    plain = function_tool(lambda what: what, name_override="weigh", failure_error_function=None)
    polite = function_tool(
        lambda what: what, name_override="weigh", failure_error_function=lambda context, error: f"Sorry: {error}"
    )
    for tool, told in ((plain, "bob may not use weigh"), (polite, "Sorry: bob may not use weigh")):
        result = await Runner.run(agent(endpoint.base_url, tools=(tool,)), "weigh")
        assert (result.final_output, outputs(result)) == ("It is done.", [told])


@pytest.mark.shows(DENIAL, IDENTITY)
async def test_denied_after_a_handoff(endpoint, deny):
    """The agent whose turn it is is the one that is refused; the handoff before it is no tool."""
    deny("weigh")
    result = await Runner.run(team(endpoint.base_url), "hand over, then weigh")
    assert [call.name for call in tools_called(deny)] == ["weigh"]
    assert "writer may not use weigh" in str(outputs(result))
    assert result.final_output == "It is done."


async def test_failures_are_failed_syscalls(endpoint, enabled):
    """A tool that raises counts as failed, with the message the model is told."""
    kernel, ends = enabled(), []
    kernel.bus.subscribe(lambda event: ends.append(event.name) if event.kind == "tool" else None)
    await Runner.run(agent(endpoint.base_url, tools=(fail,)), "fail")
    assert ends[-1] == "fail"


@pytest.mark.shows(ASYNC)
async def test_limited(endpoint, enabled):
    """With one use at a time, uses of a tool do not overlap, and nothing is lost."""
    running, most = 0, 0

    @function_tool(name_override="weigh")
    async def slow(what: str) -> str:
        """Weigh."""
        nonlocal running, most
        running += 1
        most = max(most, running)
        await asyncio.sleep(0.01)
        running -= 1
        return f"{what} weighs 450 g"

    agents = [agent(endpoint.base_url, f"agent-{n}", tools=(slow,)) for n in range(4)]
    await asyncio.gather(*(Runner.run(one, "weigh") for one in agents))
    assert most > 1
    most = 0
    enabled(limits={"tool:weigh": {"in_flight": 1}})
    results = await asyncio.gather(*(Runner.run(one, "weigh") for one in agents))
    assert most == 1
    assert {outputs(result)[0] for result in results} == {"apple 0 weighs 450 g"}


@pytest.mark.shows(IDENTITY)
async def test_an_agent_as_a_tool(endpoint, enabled):
    """An agent inside another's tool is itself; the tool's use is its user's; neither waits for its own turn."""
    kernel = enabled(limits={"llm:*": {"in_flight": 1}})
    inner = agent(endpoint.base_url, "inner")

    @function_tool
    async def helper(what: str) -> str:
        """Ask the other."""
        return (await Runner.run(inner, "weigh")).final_output

    outer = Agent(name="outer", tools=[helper], model=model(endpoint.base_url))
    await Runner.run(outer, "helper")
    as_tool = inner.as_tool(tool_name="weigh", tool_description="Weigh.")
    await Runner.run(Agent(name="other", tools=[as_tool], model=model(endpoint.base_url)), "weigh")
    rows = {row["name"]: row["syscalls"] for row in kernel.status().agents if row["syscalls"]}
    assert rows["outer"] == rows["other"] == {"llm": 2, "tool": 1}
    assert rows["inner"]["llm"] >= 3
    assert weigh.name == "weigh"
