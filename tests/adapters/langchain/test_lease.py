"""Leased calls: the same results, the same requests, and as many syscalls as the program made calls."""

from __future__ import annotations

import openai
import pytest
from langchain.agents import create_agent

from tests.adapters.langchain.programs import ASYNC, SYNC, ask, model, seen, weigh
from tests.support.columns import ASYNC as ASYNC_CALLS
from tests.support.columns import LEASE, ONCE, STREAM, TOOLS
from tests.support.runs import requests

pytestmark = [pytest.mark.shows(LEASE, ONCE), pytest.mark.filterwarnings("ignore:Pydantic serializer warnings")]


@pytest.mark.shows(STREAM, TOOLS)
@pytest.mark.parametrize("name", SYNC)
def test_sync_program(name, endpoint, enabled):
    """A program run with the kernel gives what it gives without, by the same requests; each call is one syscall."""
    program, llm, tools = SYNC[name]
    native, sent = seen(program(endpoint.base_url)), requests(endpoint)
    endpoint.reset()
    kernel = enabled()
    assert seen(program(endpoint.base_url)) == native
    assert requests(endpoint) == sent
    assert (len(sent), _counts(kernel)) == (llm, (llm, tools))


@pytest.mark.shows(ASYNC_CALLS)
@pytest.mark.parametrize("name", ASYNC)
async def test_async_program(name, endpoint, enabled):
    """The same in an event loop, where leased calls run in the caller's loop."""
    program, llm, tools = ASYNC[name]
    native, sent = seen(await program(endpoint.base_url)), requests(endpoint)
    endpoint.reset()
    kernel = enabled()
    assert seen(await program(endpoint.base_url)) == native
    assert requests(endpoint) == sent
    assert (len(sent), _counts(kernel)) == (llm, (llm, tools))


def _counts(kernel):
    counts = kernel.status().syscalls
    return counts.get("llm", 0), counts.get("tool", 0)


@pytest.mark.parametrize("fault", ["fail-401", "fail-429", "fail-500"])
def test_errors(fault, endpoint, enabled):
    """What an endpoint refuses surfaces as the very same exception, and the slot is given back."""

    def error(call):
        endpoint.reset()
        endpoint.fail_next(fault)
        with pytest.raises(openai.APIStatusError) as raised:
            call()
        return type(raised.value), str(raised.value), len(endpoint.requests)

    agent = create_agent(model(endpoint.base_url), [weigh])
    calls = [
        lambda: agent.invoke(ask("weigh")),
        lambda: list(agent.stream(ask("weigh"), stream_mode="messages")),
        lambda: list(model(endpoint.base_url).stream("hello")),
    ]
    native = [error(call) for call in calls]
    kernel = enabled()
    assert [error(call) for call in calls] == native
    assert not any(queue["running"] for queue in kernel.status().resources)
