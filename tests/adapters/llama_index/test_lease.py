"""Leased calls: every program gives the same result through the same requests, and each call is one syscall."""

from __future__ import annotations

import asyncio

import pytest
from openai import RateLimitError

from tests.adapters.llama_index.programs import ASYNC, SYNC, agent, message, model, seen
from tests.support.columns import ASYNC as ASYNCHRONOUS
from tests.support.columns import CODE, LEASE, ONCE, STREAM, TOOLS
from tests.support.runs import requests


def _counts(kernel):
    calls = kernel.status().syscalls
    return calls.get("llm", 0), calls.get("tool", 0)


@pytest.mark.shows(LEASE, ONCE, STREAM)
@pytest.mark.parametrize("name", SYNC)
def test_programs(name, endpoint, enabled):
    """Results, requests and the number of syscalls."""
    program, *expected = SYNC[name]
    native = seen(program(endpoint.base_url))
    sent = requests(endpoint)
    endpoint.reset()
    kernel = enabled()
    assert seen(program(endpoint.base_url)) == native
    assert requests(endpoint) == sent
    assert list(_counts(kernel)) == expected
    assert not any(queue["running"] for queue in kernel.status().resources)


@pytest.mark.shows(LEASE, ONCE, STREAM, ASYNCHRONOUS, TOOLS, CODE)
@pytest.mark.parametrize("name", ASYNC)
async def test_async_programs(name, endpoint, enabled):
    """The same in an event loop; of agents, every event they stream."""
    program, *expected = ASYNC[name]
    native = seen(await program(endpoint.base_url))
    sent = requests(endpoint)
    endpoint.reset()
    kernel = enabled()
    assert seen(await program(endpoint.base_url)) == native
    assert requests(endpoint) == sent
    assert list(_counts(kernel)) == expected
    assert not any(queue["running"] for queue in kernel.status().resources)


@pytest.mark.shows(ONCE)
def test_a_retry_series_is_one_call(endpoint, enabled):
    """The SDK's own retries are a part of the call; its error is the SDK's."""
    kernel = enabled()
    endpoint.fail_next("fail-500")
    llm = model(endpoint.base_url).model_copy(update={"max_retries": 2})
    assert llm.chat(message("hello")).message.content
    assert (len(endpoint.requests), kernel.status().syscalls) == (2, {"llm": 1})
    endpoint.fail_next("fail-429")
    with pytest.raises(RateLimitError):
        model(endpoint.base_url).chat(message("hello"))


@pytest.mark.shows(STREAM, ONCE)
async def test_a_stream_left_early_gives_back_its_turn(endpoint, enabled):
    """Whoever stops reading holds nobody up, read from or not."""
    kernel = enabled(limits={"llm:*": {"in_flight": 1}})
    llm = model(endpoint.base_url)
    for _ in range(3):
        stream = llm.stream_chat(message("hello"))
        next(stream)
        stream.close()
        del stream
        stream = await llm.astream_chat(message("hello"))
        await anext(stream)
        await stream.aclose()
        del stream
    assert kernel.status().syscalls == {"llm": 6}
    assert not any(queue["running"] for queue in kernel.status().resources)


@pytest.mark.shows(ASYNCHRONOUS)
async def test_agents_at_once_keep_to_a_limit(endpoint, enabled):
    """Ten agents, two calls at a time at the endpoint, and every agent is answered."""
    kernel = enabled(limits={"llm:*": {"in_flight": 2}})
    runs = [agent(endpoint.base_url, f"agent-{index}").run("weigh") for index in range(10)]
    results = await asyncio.gather(*runs)
    assert {str(result) for result in results} == {"It is done."}
    assert kernel.status().syscalls["llm"] == 20
    assert endpoint.stats()["peak_in_flight"] <= 2
