"""Push-back: a refused attempt waits for its turn, and a call is lost only where it was lost without us."""

from __future__ import annotations

import asyncio
import email.utils
import threading
import time

import openai
import pytest

import aios_adapters
from aios_adapters.openai._lease import pushed_back
from aios_evals.endpoint import Endpoint
from tests.adapters.openai.modes import CHAT, HAS_SLEEP_STEP, needs_sleep_step
from tests.support.columns import LEASE, ONCE


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    monkeypatch.setattr("openai._base_client.INITIAL_RETRY_DELAY", 0.01)
    monkeypatch.setattr("openai._base_client.MAX_RETRY_DELAY", 0.05)


def client_of(endpoint, **options):
    return openai.OpenAI(base_url=endpoint.base_url, api_key="test", **options)


@pytest.mark.parametrize("retries", [0, 2])
@pytest.mark.parametrize("status", [429, 503])
def test_an_endpoint_that_always_refuses(endpoint, retries, status):
    """The error surfaces as ever, after exactly as many requests as without us."""
    expected = openai.RateLimitError if status == 429 else openai.InternalServerError
    model = {**CHAT, "model": f"fail-{status}"}
    aios_adapters.enable()
    with client_of(endpoint, max_retries=retries) as client, pytest.raises(expected):
        client.chat.completions.create(**model)
    assert len(endpoint.requests) == retries + 1
    status = aios_adapters.status()
    assert status.syscalls == {"llm": 1}
    assert status.kernel.resources[0]["pushed_back"] == (retries if HAS_SLEEP_STEP else 0)
    assert status.kernel.resources[0]["running"] == 0


@pytest.mark.shows(LEASE, ONCE)
def test_a_refusal_that_passes_is_one_syscall(endpoint):
    """429, then 200: one call, one push-back, its Retry-After waited for."""
    endpoint.retry_after = 0.2
    aios_adapters.enable()
    endpoint.fail_next("fail-429")
    begun = time.monotonic()
    with client_of(endpoint) as client:
        client.chat.completions.create(**CHAT)
    assert time.monotonic() - begun >= 0.2
    assert [record.status for record in endpoint.requests] == [429, 200]
    assert aios_adapters.status().syscalls == {"llm": 1}


def test_other_errors_keep_the_sdks_own_retries(endpoint):
    """A 500 is retried by the SDK with its own sleep, and is no push-back."""
    aios_adapters.enable()
    endpoint.fail_next("fail-500")
    with client_of(endpoint) as client:
        client.chat.completions.create(**CHAT)
    assert [record.status for record in endpoint.requests] == [500, 200]
    assert aios_adapters.status().kernel.resources[0]["pushed_back"] == 0


def lost(endpoint, count, **options):
    """How many of `count` calls at once are lost."""
    errors = []
    with client_of(endpoint, **options) as client:

        def call():
            try:
                client.chat.completions.create(**CHAT)
            except openai.APIError as error:
                errors.append(error)

        threads = [threading.Thread(target=call) for _ in range(count)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    return len(errors)


@needs_sleep_step
def test_no_call_is_lost_while_others_get_through():
    """Many calls at an endpoint that bears two: those it refuses wait for their turn, past the SDK's own retries."""
    with Endpoint(capacity=2, mode="reject", latency=0.3) as endpoint:
        assert lost(endpoint, 8, max_retries=1) > 0
        aios_adapters.enable()
        assert lost(endpoint, 8, max_retries=1) == 0
        assert aios_adapters.status().syscalls == {"llm": 8}


@needs_sleep_step
async def test_no_async_call_is_lost_while_others_get_through():
    """The same in an event loop."""
    with Endpoint(capacity=2, mode="reject", latency=0.02) as endpoint:
        aios_adapters.enable()
        async with openai.AsyncOpenAI(base_url=endpoint.base_url, api_key="test", max_retries=1) as client:
            results = await asyncio.gather(*(client.chat.completions.create(**CHAT) for _ in range(16)))
        assert len(results) == 16
        assert aios_adapters.status().syscalls == {"llm": 16}


def test_a_program_without_retries_sees_refusals():
    """max_retries=0 is the program's word: it gets its 429 though others get through."""
    with Endpoint(capacity=1, mode="reject", latency=0.05) as endpoint:
        aios_adapters.enable()
        assert lost(endpoint, 6, max_retries=0) > 0


@pytest.mark.parametrize(
    ("headers", "wait"),
    [
        ({"retry-after": "7"}, 7.0),
        ({"retry-after-ms": "250"}, 0.25),
        ({"retry-after": "in 20 s"}, pytest.approx(20, abs=15)),
        ({"retry-after": "100000"}, None),
        ({"retry-after": "0"}, None),
        ({"retry-after": "soon"}, None),
        ({}, None),
    ],
)
def test_retry_after_is_read_as_the_sdk_does(headers, wait):
    """Seconds, milliseconds and dates count; what the SDK would not follow does not."""

    class Response:
        status_code = 429

    in_20_s = email.utils.formatdate(time.time() + 20, usegmt=True)
    Response.headers = {key: in_20_s if value == "in 20 s" else value for key, value in headers.items()}
    with openai.OpenAI(api_key="test") as client:
        assert pushed_back(client, Response) == (429, wait)
        Response.status_code = 500
        assert pushed_back(client, Response) is None
        assert pushed_back(client, None) is None
