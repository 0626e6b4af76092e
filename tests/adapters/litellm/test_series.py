"""What counts as one call: retries, caches, fallbacks and routers."""

from __future__ import annotations

import asyncio

import litellm
import pytest

from aios_kernel.cores.scripted import ScriptedCore
from tests.adapters.litellm.programs import HTTP, SAY, SDK, at, router
from tests.support.columns import ONCE, SERVE


async def settled():
    """Let litellm's own tasks, which fill its cache, have their turns."""
    for _ in range(20):
        await asyncio.sleep(0)


@pytest.mark.shows(ONCE)
@pytest.mark.parametrize("model", [SDK, HTTP])
def test_retries_are_part_of_the_call(model, endpoint, enabled):
    """A call that litellm repeats until it works is one syscall."""
    endpoint.fail_next("fail-500", 2)
    kernel = enabled()
    answer = litellm.completion(model, SAY, num_retries=3, **at(endpoint.base_url))
    assert answer.choices[0].message.content
    assert (len(endpoint.requests), kernel.status().syscalls) == (3, {"llm": 1})


@pytest.mark.shows(ONCE)
async def test_asynchronous_retries(endpoint, enabled):
    """The same in an event loop."""
    endpoint.fail_next("fail-500", 2)
    kernel = enabled()
    answer = await litellm.acompletion(SDK, SAY, num_retries=3, **at(endpoint.base_url))
    assert answer.choices[0].message.content
    assert (len(endpoint.requests), kernel.status().syscalls) == (3, {"llm": 1})


@pytest.mark.shows(ONCE)
async def test_an_answer_out_of_the_cache_is_no_syscall(cache, endpoint, enabled):
    """Only a miss calls a model."""
    kernel = enabled()
    first = litellm.completion(SDK, SAY, **at(endpoint.base_url))
    again = litellm.completion(SDK, SAY, **at(endpoint.base_url))
    assert first.choices[0].message.content == again.choices[0].message.content
    later = await litellm.acompletion(SDK, SAY, **at(endpoint.base_url))
    assert later.choices[0].message.content == first.choices[0].message.content
    assert (len(endpoint.requests), kernel.status().syscalls) == (1, {"llm": 1})
    litellm.completion(SDK, SAY, cache={"no-cache": True}, **at(endpoint.base_url))
    other = [{"role": "user", "content": "another question"}]
    await litellm.acompletion(SDK, other, **at(endpoint.base_url))
    await settled()
    await litellm.acompletion(SDK, other, **at(endpoint.base_url))
    assert (len(endpoint.requests), kernel.status().syscalls) == (3, {"llm": 3})
    assert not any(queue["running"] for queue in kernel.status().resources)


@pytest.mark.shows(ONCE, SERVE)
async def test_a_served_answer_is_cached_too(cache, endpoint, enabled):
    """The kernel's answer goes where litellm keeps a provider's, and is not asked for again."""
    kernel = enabled(llm=ScriptedCore(["first", "second"]))
    for _ in range(2):
        assert litellm.completion(SDK, SAY, **at(endpoint.base_url)).choices[0].message.content == "first"
    other = [{"role": "user", "content": "another question"}]
    for _ in range(2):
        answer = await litellm.acompletion(SDK, other, **at(endpoint.base_url))
        assert answer.choices[0].message.content == "second"
        await settled()
    assert (endpoint.requests, kernel.status().syscalls) == ([], {"llm": 2})


@pytest.mark.shows(ONCE)
def test_a_fallback_is_another_call(endpoint, enabled):
    """Another model is another resource: each attempt of a list of fallbacks is a syscall of its own."""
    kernel = enabled()
    given = {"fallbacks": ["openai/second"], **at(endpoint.base_url)}
    answer = litellm.completion("openai/sim+fail-500", SAY, **given)
    assert answer.choices[0].message.content
    assert kernel.status().syscalls["llm"] == len(endpoint.requests)
    models = {queue["resource"].rpartition(":")[2] for queue in kernel.status().resources}
    assert {"sim+fail-500", "second"} <= models


@pytest.mark.shows(ONCE)
async def test_what_a_router_repeats_is_another_call(endpoint, enabled):
    """A router chooses a deployment anew for each attempt."""
    endpoint.fail_next("fail-500", 1)
    kernel = enabled()
    answer = await router(endpoint.base_url).acompletion("sim", SAY, num_retries=2)
    assert answer.choices[0].message.content
    assert kernel.status().syscalls == {"llm": len(endpoint.requests)} == {"llm": 2}


@pytest.mark.shows(ONCE)
def test_a_mock_of_the_program_stays_one(endpoint, enabled):
    """`mock_response` of the program's own calls no model, and is no syscall."""
    kernel = enabled(llm=ScriptedCore([]))
    assert litellm.completion(SDK, SAY, mock_response="mine").choices[0].message.content == "mine"
    assert (endpoint.requests, kernel.status().syscalls) == ([], {})
