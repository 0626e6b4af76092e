"""Leased calls: the same results, the same requests, and as many syscalls as the program made calls."""

from __future__ import annotations

import pytest

from tests.adapters.langchain.programs import ASYNC, SYNC, requests, seen


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
