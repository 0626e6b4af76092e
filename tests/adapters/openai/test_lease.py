"""The lease path: the program's own calls, identical in every mode, each one syscall, each grant given back."""

from __future__ import annotations

import asyncio
import gc
import threading

import openai
import pytest

import aios_adapters
from aios_evals.endpoint import Endpoint
from tests.adapters.openai.modes import ASYNC, CHAT, SYNC, USER, needs_responses
from tests.support.columns import ASYNC as ASYNCHRONOUS
from tests.support.columns import LEASE, ONCE, RESTORE, STREAM
from tests.support.waiting import wait_until


def kind(name: str) -> str:
    return "embedding" if name.startswith("embedding") else "llm"


@pytest.mark.shows(LEASE, ONCE)
@pytest.mark.parametrize("name", SYNC)
def test_identical(name, client, endpoint, requests, running):
    """Result and HTTP requests are what they were; one syscall; nothing is held afterwards."""
    before, sent = SYNC[name](client), requests()
    endpoint.reset()
    aios_adapters.enable(strict=True)
    assert SYNC[name](client) == before
    assert requests() == sent
    assert aios_adapters.status().syscalls == {kind(name): 1}
    assert running() == 0


@pytest.mark.shows(LEASE, ONCE, ASYNCHRONOUS)
@pytest.mark.parametrize("name", ASYNC)
async def test_identical_async(name, endpoint, requests, running):
    """The same for the asynchronous client, in the caller's loop."""
    async with openai.AsyncOpenAI(base_url=endpoint.base_url, api_key="test") as client:
        before, sent = await ASYNC[name](client), requests()
        endpoint.reset()
        aios_adapters.enable(strict=True)
        assert await ASYNC[name](client) == before
    assert requests() == sent
    assert aios_adapters.status().syscalls == {kind(name): 1}
    assert running() == 0


def test_other_requests_are_none_of_ours(client):
    """Listing models makes no syscall."""
    aios_adapters.enable()
    assert client.models.list().data
    assert aios_adapters.status().syscalls == {}


def test_references_taken_before_are_caught(client, endpoint):
    """Methods, raw wrappers and clients captured before enable() go through the gate."""
    create = client.chat.completions.create
    raw = client.chat.completions.with_raw_response
    embed = client.embeddings.create
    post = client.post
    aios_adapters.enable()
    create(**CHAT)
    raw.create(**CHAT)
    embed(model="sim", input="a")
    post("/chat/completions", body=CHAT, cast_to=object)
    assert aios_adapters.status().syscalls == {"llm": 3, "embedding": 1}


def test_the_module_level_client(endpoint, monkeypatch):
    """openai.chat.completions goes through the gate as well."""
    monkeypatch.setattr(openai, "base_url", endpoint.base_url + "/")
    monkeypatch.setattr(openai, "api_key", "test")
    openai._reset_client()
    aios_adapters.enable()
    openai.chat.completions.create(**CHAT)
    assert aios_adapters.status().syscalls == {"llm": 1}
    openai._reset_client()


@pytest.mark.parametrize(
    "name",
    [
        "chat",
        "chat stream usage",
        "chat raw",
        "chat streaming response",
        pytest.param("response stream", marks=needs_responses),
    ],
)
def test_usage_is_counted(name, client, endpoint):
    """Tokens are read from the body or the end of the stream."""
    aios_adapters.enable()
    SYNC[name](client)
    usage = endpoint.requests[0].usage
    said = [
        usage.get(chat, usage.get(response))
        for chat, response in (("prompt_tokens", "input_tokens"), ("completion_tokens", "output_tokens"))
    ]

    def counted():
        return [
            sum(row[name] for row in aios_adapters.status().kernel.agents) for name in ("input_tokens", "output_tokens")
        ]

    wait_until(lambda: any(counted()))  # a kernel elsewhere hears of it a moment later
    assert counted() == said
    assert all(said)


# Streams


@pytest.mark.shows(STREAM)
@pytest.mark.parametrize("way", ["end", "close", "with", "drop", "raw drop"])
def test_a_stream_gives_its_grant_back(way, client, running):
    """At its end, when it is closed, and when it is dropped half-read and collected."""
    aios_adapters.enable()
    if way == "raw drop":
        stream = client.chat.completions.with_raw_response.create(**CHAT, stream=True)
    else:
        stream = client.chat.completions.create(**CHAT, stream=True)
        next(stream)
    assert running() == 1
    if way == "end":
        list(stream)
    elif way == "close":
        stream.close()
    elif way == "with":
        with stream:
            next(stream)
    del stream
    gc.collect()
    assert running() == 0


@pytest.mark.shows(STREAM, ASYNCHRONOUS)
@pytest.mark.filterwarnings("ignore::ResourceWarning")
@pytest.mark.parametrize("way", ["end", "close", "drop", "cancel"])
async def test_an_async_stream_gives_its_grant_back(way, running):
    """The same in an event loop, and when its task is cancelled while it waits for the next piece."""
    with Endpoint(token_latency=0.05) as endpoint:
        async with openai.AsyncOpenAI(base_url=endpoint.base_url, api_key="test") as client:
            aios_adapters.enable()
            stream = await client.chat.completions.create(**CHAT, stream=True)
            await anext(stream)
            assert running() == 1
            if way == "end":
                assert [chunk async for chunk in stream]
            elif way == "close":
                await stream.close()
            elif way == "cancel":

                async def read(stream):
                    return [chunk async for chunk in stream]

                task = asyncio.create_task(read(stream))
                await asyncio.sleep(0.02)
                task.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await task
                del task
            del stream
            gc.collect()
            await asyncio.sleep(0.02)
            assert running() == 0


def test_a_half_read_stream_does_not_block_its_reader(client, endpoint):
    """With one slot, a call made while reading a stream borrows the stream's."""
    aios_adapters.enable(limits={"llm:*": {"in_flight": 1}})
    for _ in client.chat.completions.create(**CHAT, stream=True):
        client.chat.completions.create(**CHAT)
    assert aios_adapters.status().syscalls["llm"] == len(endpoint.requests)


# Errors: the same class as without us

FAULTS = [
    "fail-400",
    "fail-401",
    "fail-404",
    "fail-429",
    "fail-500",
    "bad-json",
    "truncated-stream",
    "disconnect",
    "hang",
]


def outcome(client, *, stream, model):
    try:
        result = client.chat.completions.create(model=model, messages=USER, stream=stream, timeout=0.3)
        return len(list(result)) if stream else type(result)
    except Exception as error:  # noqa: BLE001 - its class is what is compared
        return type(error)


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.filterwarnings(
    "ignore::pytest.PytestUnraisableExceptionWarning"
)  # sockets of the endpoint, collected here
def test_errors_are_the_same(fault, stream, endpoint, running, monkeypatch):
    """An endpoint's fault surfaces as the same class of exception, after as many requests."""
    monkeypatch.setattr("openai._base_client.INITIAL_RETRY_DELAY", 0.01)
    with openai.OpenAI(base_url=endpoint.base_url, api_key="test", max_retries=1) as client:
        before, sent = outcome(client, stream=stream, model=fault), len(endpoint.requests)
        endpoint.reset()
        aios_adapters.enable()
        assert outcome(client, stream=stream, model=fault) == before
    assert len(endpoint.requests) == sent
    assert aios_adapters.status().syscalls == {"llm": 1}
    gc.collect()
    assert running() == 0


def test_connection_refused_and_bad_arguments(endpoint):
    """No server, no key in the body, an unknown argument: the same exceptions."""
    endpoint.stop()
    with openai.OpenAI(base_url=endpoint.base_url, api_key="test", max_retries=0) as client:
        aios_adapters.enable()
        with pytest.raises(openai.APIConnectionError):
            client.chat.completions.create(**CHAT)
        with pytest.raises(TypeError):
            client.chat.completions.create(**CHAT, not_an_argument=1)
    assert aios_adapters.status().syscalls == {"llm": 1}


def test_concurrent_threads(client, endpoint, running):
    """Many threads, two slots: every call comes back, and no more than two are at the endpoint at once."""
    aios_adapters.enable(limits={"llm:*": {"in_flight": 2}})
    results = []
    threads = [
        threading.Thread(target=lambda: results.append(client.chat.completions.create(**CHAT))) for _ in range(12)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(results) == 12
    assert endpoint.stats()["peak_in_flight"] <= 2
    assert running() == 0


# Other patchers


def observed(native, seen):
    def request(self, *args, **kwargs):
        seen.append("observed")
        return native(self, *args, **kwargs)

    return request


@pytest.mark.shows(RESTORE)
@pytest.mark.parametrize("before", [True, False])
def test_an_observers_request_on_the_subclass(client, before, monkeypatch):
    """Another library's own `request` on OpenAI does not hide the gate, put on before or after; it stays after us."""
    seen = []
    if not before:
        aios_adapters.enable()
    native = openai.OpenAI.request
    monkeypatch.setattr(openai.OpenAI, "request", observed(native, seen), raising=False)
    theirs = vars(openai.OpenAI)["request"]
    aios_adapters.enable()
    client.chat.completions.create(**CHAT)
    assert aios_adapters.status().syscalls == {"llm": 1}
    assert seen == ["observed"]
    aios_adapters.disable()
    assert vars(openai.OpenAI)["request"] is theirs
    client.chat.completions.create(**CHAT)
    assert seen == ["observed"] * 2


def test_a_clients_subclass_defined_later(endpoint):
    """A subclass with a `request` of its own, defined after enable(), is covered; its call is one."""
    aios_adapters.enable()

    class Client(openai.OpenAI):
        def request(self, *args, **kwargs):
            return super().request(*args, **kwargs)

    with Client(base_url=endpoint.base_url, api_key="test") as client:
        client.chat.completions.create(**CHAT)
    assert aios_adapters.status().syscalls == {"llm": 1}
