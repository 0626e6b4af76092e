"""Leased calls: the same results, the same requests, and as many syscalls as the program made calls."""

from __future__ import annotations

import asyncio

import openai
import pytest

from aios_evals.endpoint import Endpoint
from tests.adapters.metagpt.programs import PROGRAMS, USER, model, seen, streamed
from tests.support.columns import ASYNC, LEASE, ONCE, STREAM
from tests.support.runs import requests
from tests.support.waiting import wait_until

pytestmark = pytest.mark.shows(LEASE, ONCE, ASYNC)


@pytest.mark.parametrize("name", PROGRAMS)
async def test_program(name, endpoint, enabled):
    """A program run with the kernel gives what it gives without, by the same requests; each call is one syscall."""
    program, llm, tools = PROGRAMS[name]
    native, sent = seen(await program(endpoint.base_url)), requests(endpoint)
    endpoint.reset()
    kernel = enabled()
    assert seen(await program(endpoint.base_url)) == native
    assert requests(endpoint) == sent
    counts = kernel.status().syscalls
    assert (len(sent), counts.get("llm", 0), counts.get("tool", 0)) == (llm, llm, tools)
    assert not any(queue["running"] for queue in kernel.status().resources)


@pytest.mark.shows(STREAM)
async def test_a_stream_is_shown_as_it_was(endpoint, enabled, shown):
    """MetaGPT's log is handed the same pieces in the same order, and the kernel is told when the first one comes."""
    native = await streamed(endpoint.base_url)
    before = shown.copy()
    shown.clear()
    kernel = enabled()
    events = []
    kernel.bus.subscribe(events.append)
    assert await streamed(endpoint.base_url) == native
    assert shown == before
    assert [piece for piece in shown if piece.strip()] == ["hello", " big", " world", " hello"]
    assert shown[-1] == "\n"
    assert [event.name for event in events].count("first_token") == 1


async def test_what_a_call_used_reaches_the_kernel(endpoint, enabled):
    """The kernel counts the tokens that MetaGPT counts."""
    kernel = enabled()
    llm = model(endpoint.base_url)
    await llm.aask_batch(["one", "two"])
    costs = llm.get_costs()
    row = kernel.status().agents[0]
    assert (row["input_tokens"], row["output_tokens"]) == (costs.total_prompt_tokens, costs.total_completion_tokens)
    assert costs.total_completion_tokens == 8


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("fault", ["fail-401", "fail-429", "fail-500"])
async def test_errors(fault, stream, endpoint, enabled):
    """What an endpoint refuses surfaces as the very same exception, and the slot is given back."""

    async def error():
        endpoint.reset()
        endpoint.fail_next(fault, 3)
        llm = model(endpoint.base_url)
        llm.aclient.max_retries = 0
        with pytest.raises(openai.APIStatusError) as raised:
            await llm.acompletion_text(USER, stream=stream)
        return type(raised.value), str(raised.value), len(endpoint.requests)

    native = await error()
    kernel = enabled()
    assert await error() == native
    assert not any(queue["running"] for queue in kernel.status().resources)


async def test_a_series_of_retries_is_one_syscall(endpoint, enabled):
    """MetaGPT tries again when a connection breaks: the call with all its attempts is one syscall."""
    kernel = enabled()
    llm = model(endpoint.base_url)
    llm.aclient.max_retries = 0
    endpoint.fail_next("disconnect", 2)
    assert await llm.acompletion_text(USER) == "hello big world hello"
    assert len(endpoint.requests) == 3
    assert kernel.status().syscalls == {"llm": 1}
    assert kernel.status().agents[0]["failed"] == 0


async def test_no_call_is_lost_while_others_get_through(enabled):
    """An endpoint that refuses for load is waited for in the kernel's queue, past the retries of the client."""

    async def lost():
        models = [model(endpoint.base_url) for _ in range(8)]
        for one in models:
            one.aclient.max_retries = 1
        results = await asyncio.gather(*[one.acompletion_text(USER) for one in models], return_exceptions=True)
        return sum(isinstance(result, openai.RateLimitError) for result in results), len(results)

    with Endpoint(capacity=2, mode="reject", latency=0.3) as endpoint:
        assert (await lost())[0] > 0
        kernel = enabled()
        assert await lost() == (0, 8)
    assert kernel.status().syscalls == {"llm": 8}
    assert kernel.status().resources[0]["pushed_back"] > 0


async def test_one_endpoint_has_one_queue(endpoint, enabled):
    """What MetaGPT asks by itself and what it asks through the SDK wait in one queue, however the address is written."""
    kernel = enabled()
    llm = model(f"{endpoint.base_url}/")
    await llm.aask("hello")
    await llm.aask_code(USER)
    assert kernel.status().syscalls == {"llm": 2}
    (queue,) = kernel.status().resources
    assert (queue["resource"], queue["granted"]) == (f"llm:{endpoint.base_url}:gpt-4o", 2)


async def test_cancelled(enabled):
    """A call that is cancelled, in the queue or under way, gives its place back."""
    with Endpoint(latency=30, reply_tokens=4) as endpoint:
        kernel = enabled(limits={"llm:*": {"in_flight": 1}})
        calls = [asyncio.create_task(model(endpoint.base_url).acompletion_text(USER)) for _ in range(2)]
        await asyncio.to_thread(wait_until, lambda: endpoint.requests)
        for call in calls:
            call.cancel()
        assert all(isinstance(e, asyncio.CancelledError) for e in await asyncio.gather(*calls, return_exceptions=True))
        assert not any(queue["running"] or queue["waiting"] for queue in kernel.status().resources)
