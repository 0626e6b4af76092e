"""Leased calls: the same results, the same requests, and as many syscalls as the program made calls."""

from __future__ import annotations

import openai
import pytest

from tests.adapters.ag2.programs import PROGRAMS, agent, config
from tests.support.columns import ASYNC, LEASE, ONCE, STREAM, TOOLS
from tests.support.runs import requests

_SHOWS = {"streaming": (STREAM,), "tools": (TOOLS,), "together": (TOOLS,)}


@pytest.mark.parametrize(
    "name",
    [pytest.param(name, marks=pytest.mark.shows(LEASE, ONCE, ASYNC, *_SHOWS.get(name, ()))) for name in PROGRAMS],
)
async def test_program(name, endpoint, enabled):
    """A program run with the kernel gives what it gives without, by the same requests; each call is one syscall."""
    program, llm, tools = PROGRAMS[name]
    native, sent = await program(endpoint.base_url), requests(endpoint)
    endpoint.reset()
    kernel = enabled()
    assert await program(endpoint.base_url) == native
    assert requests(endpoint) == sent
    counts = kernel.status().syscalls
    assert (len(sent), counts.get("llm", 0), counts.get("tool", 0)) == (llm, llm, tools)


@pytest.mark.parametrize("fault", ["fail-401", "fail-429", "fail-500"])
@pytest.mark.shows(LEASE)
async def test_errors(fault, endpoint, enabled):
    """What an endpoint refuses surfaces as the very same exception, and the slot is given back."""

    async def error():
        endpoint.reset()
        endpoint.fail_next(fault)
        with pytest.raises(openai.APIStatusError) as raised:
            await agent(config(endpoint.base_url)).ask("hello")
        return type(raised.value), str(raised.value), len(endpoint.requests)

    native = await error()
    kernel = enabled()
    assert await error() == native
    assert not any(queue["running"] for queue in kernel.status().resources)


@pytest.mark.shows(ONCE)
async def test_retries_of_the_sdk_are_one_call(endpoint, enabled):
    """A retry series inside the client is one syscall."""
    endpoint.fail_next("fail-500")
    kernel = enabled()
    llm = config(endpoint.base_url)
    llm.max_retries = 2
    await agent(llm).ask("hello")
    assert (len(endpoint.requests), kernel.status().syscalls["llm"]) == (2, 1)
