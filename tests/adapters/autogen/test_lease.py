"""Leased calls: the same results, the same requests, and as many syscalls as the program made calls."""

from __future__ import annotations

import openai
import pytest
from autogen_agentchat.agents import AssistantAgent

from tests.adapters.autogen.programs import PROGRAMS, client, seen
from tests.support.columns import ASYNC, CODE, LEASE, ONCE, STREAM, TOOLS
from tests.support.runs import requests

pytestmark = pytest.mark.shows(LEASE, ONCE, ASYNC)


# AutoGen itself warns of structured output's `parsed` and of code that runs on this machine.
@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.shows(STREAM, TOOLS, CODE)
@pytest.mark.parametrize("name", PROGRAMS)
async def test_program(name, endpoint, enabled):
    """A program run with the kernel gives what it gives without, by the same requests; each call is one syscall."""
    program, llm, tools = PROGRAMS[name]
    async with client(endpoint.base_url) as model:
        native, sent = seen(await program(model)), requests(endpoint)
        endpoint.reset()
        kernel = enabled()
        assert seen(await program(model)) == native
    assert requests(endpoint) == sent
    counts = kernel.status().syscalls
    assert (len(sent), counts.get("llm", 0), counts.get("tool", 0)) == (llm, llm, tools)


@pytest.mark.parametrize("fault", ["fail-401", "fail-429", "fail-500"])
async def test_errors(fault, endpoint, enabled):
    """What an endpoint refuses surfaces as the very same exception, and the slot is given back."""

    async def error():
        endpoint.reset()
        endpoint.fail_next(fault)
        async with client(endpoint.base_url) as model:
            with pytest.raises(openai.APIStatusError) as raised:
                await AssistantAgent("alice", model).run(task="hello")
        return type(raised.value), str(raised.value), len(endpoint.requests)

    native = await error()
    kernel = enabled()
    assert await error() == native
    assert not any(queue["running"] for queue in kernel.status().resources)
