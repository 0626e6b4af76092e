"""Leased calls: the same results, the same requests, and as many syscalls as the program made calls."""

from __future__ import annotations

import asyncio

import litellm
import pytest

from tests.adapters.litellm.programs import ASYNC, HTTP, SAY, SDK, SYNC, at, requests, seen
from tests.support.columns import ASYNC as ASYNC_COLUMN
from tests.support.columns import LEASE, ONCE, STREAM
from tests.support.waiting import wait_until


@pytest.mark.shows(LEASE, ONCE)
@pytest.mark.parametrize("name", SYNC)
def test_sync_program(name, endpoint, enabled):
    """A program run with the kernel gives what it gives without, by the same requests; each call is one syscall."""
    program, count = SYNC[name]
    native, sent = seen(program(endpoint.base_url)), requests(endpoint)
    endpoint.reset()
    kernel = enabled()
    assert seen(program(endpoint.base_url)) == native
    assert requests(endpoint) == sent
    assert (len(sent), kernel.status().syscalls) == (count, {"llm": count})
    assert not any(queue["running"] for queue in kernel.status().resources)


@pytest.mark.shows(LEASE, ONCE, ASYNC_COLUMN)
@pytest.mark.parametrize("name", ASYNC)
async def test_async_program(name, endpoint, enabled):
    """The same in an event loop, where leased calls run in the caller's loop."""
    program, count = ASYNC[name]
    native, sent = seen(await program(endpoint.base_url)), requests(endpoint)
    endpoint.reset()
    kernel = enabled()
    assert seen(await program(endpoint.base_url)) == native
    assert requests(endpoint) == sent
    assert (len(sent), kernel.status().syscalls) == (count, {"llm": count})
    assert not any(queue["running"] for queue in kernel.status().resources)


@pytest.mark.shows(LEASE, ONCE)
async def test_embeddings(endpoint, enabled):
    """Embeddings of one text and of several, in both manners."""
    given = {"model": SDK, "input": ["a", "b"], **at(endpoint.base_url)}
    native = litellm.embedding(**given)
    kernel = enabled()
    assert seen(litellm.embedding(**given)) == seen(native)
    assert seen(await litellm.aembedding(**given)) == seen(native)
    assert kernel.status().syscalls == {"embedding": 2}


@pytest.mark.shows(ONCE)
@pytest.mark.parametrize("model", [SDK, HTTP])
async def test_usage_and_model(model, endpoint, enabled):
    """The kernel knows the model, the endpoint and the tokens of each call."""
    kernel = enabled()
    answers = [
        litellm.completion(model, SAY, **at(endpoint.base_url)),
        await litellm.acompletion(model, SAY, **at(endpoint.base_url)),
    ]
    root = next(row for row in kernel.status().agents if row["syscalls"])
    assert root["output_tokens"] == sum(answer.usage.completion_tokens for answer in answers) > 0
    assert [queue["resource"] for queue in kernel.status().resources if queue["resource"].startswith("llm")] == [
        f"llm:{endpoint.base_url}:sim"
    ]


@pytest.mark.shows(STREAM)
@pytest.mark.parametrize("model", [SDK, HTTP])
def test_a_stream_holds_its_grant_until_it_is_left(model, endpoint, enabled):
    """While a stream is read the next call waits; one that is dropped gives its place back."""
    kernel = enabled(limits={"llm:*": {"in_flight": 1}})
    stream = litellm.completion(model, SAY, stream=True, **at(endpoint.base_url))
    next(stream)
    assert _running(kernel) == 1
    del stream
    wait_until(lambda: _running(kernel) == 0)  # a thread of litellm's has a hand on it for a moment
    litellm.completion(model, SAY, **at(endpoint.base_url))


@pytest.mark.shows(STREAM, ASYNC_COLUMN)
async def test_an_async_stream_that_is_closed(endpoint, enabled):
    """`aclose` gives the grant back, and so does a cancelled reader."""
    kernel = enabled(limits={"llm:*": {"in_flight": 1}})
    stream = await litellm.acompletion(SDK, SAY, stream=True, **at(endpoint.base_url))
    await anext(stream)
    assert _running(kernel) == 1
    await stream.aclose()
    assert _running(kernel) == 0

    async def read(model):
        async for _ in await litellm.acompletion(model, SAY, stream=True, **at(endpoint.base_url)):
            pass

    task = asyncio.ensure_future(read("openai/sim+hang"))
    await asyncio.to_thread(wait_until, lambda: _running(kernel))
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert _running(kernel) == 0
    await asyncio.wait_for(read(SDK), 30)


@pytest.mark.shows(LEASE)
@pytest.mark.parametrize("fault", ["fail-401", "fail-429", "fail-500", "disconnect", "bad-json"])
@pytest.mark.parametrize("model", [SDK, HTTP])
async def test_errors(fault, model, endpoint, enabled):
    """What an endpoint refuses surfaces as the very same exception, and the slot is given back."""

    async def outcomes():
        found = []
        for call in (
            lambda: litellm.completion(model, SAY, **at(endpoint.base_url)),
            lambda: list(litellm.completion(model, SAY, stream=True, **at(endpoint.base_url))),
            lambda: litellm.acompletion(model, SAY, **at(endpoint.base_url)),
        ):
            endpoint.fail_next(fault)
            try:
                result = call()
                found.append(seen(await result if asyncio.iscoroutine(result) else result))
            except Exception as error:  # noqa: BLE001 - whatever it is, it has to be the same
                found.append((type(error), str(error)))
        return found

    native = await outcomes()
    assert isinstance(native[0], tuple)
    kernel = enabled()
    assert await outcomes() == native
    assert not any(queue["running"] for queue in kernel.status().resources)


def _running(kernel):
    return sum(queue["running"] for queue in kernel.status().resources)
