"""The SDK's 0.x through the kernel: leased and served, whole and streamed, sync and async, and refused in its own classes."""

from __future__ import annotations

import asyncio
import gc

import openai
import pytest

import aios_adapters
from aios_kernel.abi import Delta, EmbeddingCall, Reply, ToolRequest
from aios_kernel.cores.scripted import ScriptedCore
from aios_kernel.errors import AccessDenied, ContextTooLong, CoreError, DeadlineExceeded, KernelClosed, QueueFull
from aios_kernel.kernel import Kernel
from tests.support.columns import ASYNC, DENIAL, LEASE, ONCE, RESTORE, SERVE, STREAM

USER = [{"role": "user", "content": "hello big world"}]
CHAT = {"model": "sim", "messages": USER}
PROMPT = {"model": "sim", "prompt": "Question: who?\nThought 1:", "temperature": 0, "max_tokens": 5, "stop": ["\n"]}

MODES = {
    "completion": lambda: openai.Completion.create(**PROMPT),
    "engine": lambda: openai.Completion.create(engine="sim", prompt="a b"),
    "completion stream": lambda: list(openai.Completion.create(**PROMPT, stream=True)),
    "chat": lambda: openai.ChatCompletion.create(**CHAT),
    "chat stream": lambda: list(openai.ChatCompletion.create(**CHAT, stream=True)),
    "embedding": lambda: openai.Embedding.create(model="sim", input=["a", "b"]),
}


async def _all(stream):
    return [item async for item in await stream]


ASYNC_MODES = {
    "completion": lambda: openai.Completion.acreate(**PROMPT),
    "chat": lambda: openai.ChatCompletion.acreate(**CHAT),
    "chat stream": lambda: _all(openai.ChatCompletion.acreate(**CHAT, stream=True)),
    "embedding": lambda: openai.Embedding.acreate(model="sim", input=["a", "b"]),
}


def script(call):
    if isinstance(call, EmbeddingCall):
        return Reply(vectors=tuple((0.5, 0.25) for _ in call.inputs))
    return "one two three"


def sent(endpoint):
    return [(r.method, r.path, {k: v for k, v in r.headers.items() if k != "host"}, r.body) for r in endpoint.requests]


def kind(name):
    return "embedding" if name == "embedding" else "llm"


@pytest.mark.shows(LEASE, ONCE, STREAM)
@pytest.mark.parametrize("name", MODES)
def test_identical(name, endpoint, running):
    """Results and HTTP requests are what they were; one syscall; nothing is held afterwards."""
    if name == "engine":
        pytest.skip("the endpoint has no engines")
    before, requests = MODES[name](), sent(endpoint)
    endpoint.reset()
    aios_adapters.enable(strict=True)
    assert MODES[name]() == before
    assert sent(endpoint) == requests
    assert aios_adapters.status().syscalls == {kind(name): 1}
    assert running() == 0


@pytest.mark.shows(LEASE, ONCE, ASYNC)
@pytest.mark.parametrize("name", ASYNC_MODES)
async def test_identical_async(name, endpoint, running):
    """The same in the caller's event loop."""
    before, requests = await ASYNC_MODES[name](), sent(endpoint)
    endpoint.reset()
    aios_adapters.enable(strict=True)
    assert await ASYNC_MODES[name]() == before
    assert [r[3] for r in sent(endpoint)] == [r[3] for r in requests]
    assert aios_adapters.status().syscalls == {kind(name): 1}
    assert running() == 0


@pytest.mark.shows(SERVE, ONCE)
@pytest.mark.parametrize("name", MODES)
def test_served(name, endpoint, running):
    """A core answers in the SDK's own types, and no request leaves the process."""
    aios_adapters.enable(llm=ScriptedCore(script))
    served = MODES[name]()
    first = served[0] if isinstance(served, list) else served
    assert isinstance(first, openai.openai_object.OpenAIObject)
    assert endpoint.requests == []
    assert aios_adapters.status().syscalls == {kind(name): 1}
    assert running() == 0


@pytest.mark.shows(SERVE, ASYNC, STREAM)
@pytest.mark.parametrize("name", ASYNC_MODES)
async def test_served_async(name, endpoint, running):
    """The same in the caller's event loop."""
    aios_adapters.enable(llm=ScriptedCore(script))
    served = await ASYNC_MODES[name]()
    assert isinstance(served[0] if isinstance(served, list) else served, openai.openai_object.OpenAIObject)
    assert endpoint.requests == []
    assert running() == 0


def test_what_comes_out(endpoint):
    """The texts, vectors and usage are where programs of that time read them."""
    aios_adapters.enable(llm=ScriptedCore(script))
    assert openai.Completion.create(**PROMPT)["choices"][0]["text"] == "one two three"
    chat = openai.ChatCompletion.create(**CHAT)
    assert (chat["choices"][0]["message"]["content"], chat.usage.completion_tokens) == ("one two three", 3)
    deltas = openai.ChatCompletion.create(**CHAT, stream=True)
    assert "".join(chunk["choices"][0]["delta"].get("content", "") for chunk in deltas) == "one two three"
    assert openai.Embedding.create(model="sim", input="a")["data"][0]["embedding"] == [0.5, 0.25]


def test_a_refused_parameter_is_named(endpoint):
    """What no core can do is the SDK's error for a bad request."""
    aios_adapters.enable(llm=ScriptedCore(script))
    with pytest.raises(openai.error.InvalidRequestError, match="'n'"):
        openai.Completion.create(**PROMPT, n=2)


@pytest.mark.shows(DENIAL)
@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (AccessDenied("no"), "PermissionError"),
        (QueueFull("full"), "RateLimitError"),
        (ContextTooLong("long"), "InvalidRequestError"),
        (DeadlineExceeded("late"), "Timeout"),
        (KernelClosed("closed"), "APIConnectionError"),
        (CoreError("broken"), "APIError"),
    ],
)
@pytest.mark.parametrize("stream", [False, True])
def test_refusals_are_the_sdks_own_errors(endpoint, error, expected, stream):
    """Each failure of the kernel is the class that a program's handlers know, with the kernel's error as its cause."""

    class Refusing(ScriptedCore):
        def prepare(self, call):
            raise error

    aios_adapters.enable(llm=Refusing([]))
    with pytest.raises(getattr(openai.error, expected)) as raised:
        list(openai.ChatCompletion.create(**CHAT, stream=stream))
    assert raised.value.__cause__ is error
    assert endpoint.requests == []


@pytest.mark.shows(DENIAL)
def test_a_denied_lease_sends_nothing(endpoint):
    """An access check keeps a leased call from the endpoint."""

    def refuse(call, process):
        raise AccessDenied("not this agent")

    kernel = Kernel(checks=(refuse,))
    aios_adapters.enable(kernel=kernel)
    with pytest.raises(openai.error.PermissionError, match="not this agent"):
        openai.Completion.create(**PROMPT)
    assert endpoint.requests == []
    kernel.close()


@pytest.mark.parametrize("fault", ["fail-400", "fail-401", "fail-429", "fail-500", "fail-503", "bad-json"])
def test_errors_of_the_endpoint_are_the_same(endpoint, fault, running):
    """An endpoint's fault surfaces as the same class after as many requests."""

    def outcome():
        endpoint.reset()
        with pytest.raises(openai.error.OpenAIError) as raised:
            openai.ChatCompletion.create(model=fault, messages=USER)
        return raised.type, len(endpoint.requests)

    before = outcome()
    aios_adapters.enable()
    assert outcome() == before
    assert running() == 0


@pytest.mark.shows(STREAM, RESTORE)
@pytest.mark.parametrize("served", [False, True])
def test_a_stream_that_is_dropped_gives_its_grant_back(endpoint, running, served):
    """Half-read or never read, once it is collected."""

    class Endless(ScriptedCore):
        def start(self, job):
            job.emit(Delta(text="one"))

    aios_adapters.enable(llm=Endless([]) if served else None)
    for pieces in (0, 1):
        stream = openai.ChatCompletion.create(**CHAT, stream=True)
        assert running() == 1
        for _ in range(pieces):
            next(stream)
        del stream
        gc.collect()
        assert running() == 0


@pytest.mark.shows(ONCE)
async def test_two_at_once_in_one_loop(endpoint):
    """With one slot, two asynchronous calls take turns, and both come back."""
    aios_adapters.enable(limits={"llm:*": {"in_flight": 1}})
    results = await asyncio.gather(*(openai.ChatCompletion.acreate(**CHAT) for _ in range(4)))
    assert len(results) == 4
    assert endpoint.stats()["peak_in_flight"] == 1


def test_other_requests_are_none_of_ours(endpoint):
    """Listing models makes no syscall."""
    aios_adapters.enable()
    assert openai.Model.list()["data"]
    assert aios_adapters.status().syscalls == {}


def test_functions_are_told_to_be_unsupported(endpoint):
    """A core that would call a tool is not asked for the older functions."""
    aios_adapters.enable(
        llm=ScriptedCore(lambda call: Reply(tool_calls=(ToolRequest(id="1", name="f", arguments="{}"),)))
    )
    with pytest.raises(openai.error.InvalidRequestError, match="functions"):
        openai.ChatCompletion.create(**CHAT, functions=[{"name": "f", "parameters": {}}])
