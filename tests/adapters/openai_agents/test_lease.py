"""Leased and served runs: the same results and requests, one syscall for each call to a model and each tool."""

from __future__ import annotations

import asyncio
import json

import pytest
from agents import Runner

from aios_kernel.abi import Reply, ToolRequest, Usage
from aios_kernel.cores.scripted import ScriptedCore
from tests.adapters.openai_agents.programs import ASYNC, Responses, Weight, agent, model, seen, weigh
from tests.support.columns import ASYNC as ASYNCHRONOUS
from tests.support.columns import LEASE, ONCE, SERVE, STREAM, TOOLS
from tests.support.runs import requests


@pytest.mark.shows(LEASE, ONCE, STREAM, ASYNCHRONOUS, TOOLS)
@pytest.mark.parametrize("name", ASYNC)
async def test_programs(name, endpoint, enabled):
    """Results, every streamed event, requests and the number of syscalls."""
    program, *expected = ASYNC[name]
    native = seen(await program(endpoint.base_url))
    sent = requests(endpoint)
    endpoint.reset()
    kernel = enabled()
    assert seen(await program(endpoint.base_url)) == native
    assert requests(endpoint) == sent
    calls = kernel.status().syscalls
    assert [calls.get("llm", 0), calls.get("tool", 0)] == expected
    assert not any(queue["running"] for queue in kernel.status().resources)


@pytest.mark.shows(LEASE, ONCE)
def test_run_sync(endpoint, enabled):
    """The synchronous runner, with the event loop it makes itself."""
    native = Runner.run_sync(agent(endpoint.base_url), "weigh").final_output
    kernel = enabled()
    assert Runner.run_sync(agent(endpoint.base_url), "weigh").final_output == native
    assert kernel.status().syscalls == {"llm": 2, "tool": 1}


@pytest.mark.shows(ONCE)
async def test_a_retry_series_is_one_call(endpoint, enabled):
    """The SDK's own retries are a part of the call."""
    kernel = enabled()
    endpoint.fail_next("fail-500")
    one = agent(endpoint.base_url, tools=()).clone(model=model(endpoint.base_url, max_retries=2))
    assert (await Runner.run(one, "hello")).final_output
    assert (len(endpoint.requests), kernel.status().syscalls) == (2, {"llm": 1})


def answer(call):
    """The first tool in answer to a user, an object where one is asked for, or three words."""
    tools = [tool["function"]["name"] for tool in call.tools]
    if tools and call.messages[-1]["role"] == "user":
        return Reply(tool_calls=(ToolRequest(id="call_1", name=tools[0], arguments=json.dumps({"what": "pear"})),))
    if call.response_format:
        return Reply(text='{"what": "pear", "grams": 5}')
    return Reply(text="hello big world", usage=Usage(input_tokens=5, output_tokens=3))


@pytest.mark.shows(SERVE, STREAM, TOOLS, ASYNCHRONOUS)
@pytest.mark.parametrize("kind", ["chat", "responses"])
async def test_served(kind, endpoint, enabled):
    """A core answers whole runs and streams, token by token, and the network hears nothing."""
    kernel = enabled(llm=ScriptedCore(answer))
    options = {"kind": Responses} if kind == "responses" else {}
    one = agent(endpoint.base_url, tools=(weigh,), **options)
    result = await Runner.run(one, "x")
    assert result.final_output == "hello big world"
    assert [item.output for item in result.new_items if item.type == "tool_call_output_item"] == ["pear weighs 450 g"]
    assert result.context_wrapper.usage.output_tokens >= 3
    streamed = Runner.run_streamed(one, "x")
    events = [event.data async for event in streamed.stream_events() if event.type == "raw_response_event"]
    assert [event.delta for event in events if event.type == "response.output_text.delta"] == [
        "hello ",
        "big ",
        "world",
    ]
    structured = agent(endpoint.base_url, tools=(), output_type=Weight, **options)
    assert (await Runner.run(structured, "x")).final_output == Weight(what="pear", grams=5)
    assert kernel.status().syscalls == {"llm": 5, "tool": 2}
    assert endpoint.requests == []


@pytest.mark.shows(ASYNCHRONOUS)
async def test_runs_at_once_keep_to_a_limit(endpoint, enabled):
    """Ten runs, two calls at a time at the endpoint, and every run is answered."""
    kernel = enabled(limits={"llm:*": {"in_flight": 2}})
    runs = [Runner.run(agent(endpoint.base_url, f"agent-{n}"), "weigh") for n in range(10)]
    assert {result.final_output for result in await asyncio.gather(*runs)} == {"It is done."}
    assert kernel.status().syscalls == {"llm": 20, "tool": 10}
    assert endpoint.stats()["peak_in_flight"] <= 2


@pytest.mark.shows(STREAM)
async def test_a_cancelled_stream_gives_back_its_turn(endpoint, enabled):
    """Whoever cancels a streamed run holds nobody up."""
    kernel = enabled(limits={"llm:*": {"in_flight": 1}})
    endpoint.token_latency = 0.01
    for _ in range(3):
        result = Runner.run_streamed(agent(endpoint.base_url, tools=()), "hello")
        async for event in result.stream_events():
            if event.type == "raw_response_event":
                result.cancel()
        await asyncio.gather(result.run_loop_task, return_exceptions=True)
        assert not any(queue["running"] for queue in kernel.status().resources)
    assert kernel.status().syscalls == {"llm": 3}
