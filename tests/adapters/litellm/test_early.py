"""Functions taken before `enable()` (`from litellm import completion`), of providers with and without the openai SDK."""

from __future__ import annotations

import importlib.util
import inspect

import litellm
import pytest
from litellm import acompletion, aembedding, completion, embedding, responses, text_completion

import aios_adapters
from aios_kernel.abi import EmbeddingCall, Reply, Usage
from aios_kernel.cores.scripted import ScriptedCore
from aios_kernel.errors import AccessDenied
from aios_kernel.kernel import Kernel
from tests.adapters.litellm.programs import HTTP, SAY, SDK, at, collect, seen
from tests.support.columns import ASYNC, DENIAL, LEASE, ONCE, RESTORE, SERVE, STREAM
from tests.support.journaled import twice
from tests.support.messages import MessagesServer
from tests.support.waiting import wait_until

#: A provider with a handler of its own, below which neither the openai SDK is nor the one that others share.
OWN = "anthropic/sim"
MODELS = [SDK, HTTP, OWN]
#: Newer versions export functions that look up the real ones at each call; older ones export the real ones.
DISPATCHES = importlib.util.find_spec("litellm.chat_completions") is not None


@pytest.fixture
def url(endpoint):
    """Where each provider is: `url(model)`; `url.requests()` are all that were made."""
    with MessagesServer() as messages:

        def of(model):
            return messages.base_url if model == OWN else endpoint.base_url

        of.requests = lambda: [*endpoint.requests, *messages.requests]
        yield of


async def run(model, url):
    """Each manner of asking for a chat once."""
    given = at(url(model))
    return [
        seen(completion(model, SAY, **given)),
        seen(list(completion(model, SAY, stream=True, **given))),
        seen(await acompletion(model, SAY, **given)),
        seen(await collect(acompletion(model, SAY, stream=True, **given))),
    ]


@pytest.mark.shows(LEASE, ONCE, STREAM, ASYNC)
@pytest.mark.parametrize("model", MODELS)
async def test_leased(model, url, enabled):
    """They give what they gave, by as many requests, and each call is one syscall."""
    native = await run(model, url)
    kernel = enabled()
    assert await run(model, url) == native
    assert (kernel.status().syscalls, len(url.requests())) == ({"llm": 4}, 8)
    assert not any(queue["running"] for queue in kernel.status().resources)
    aios_adapters.disable()
    assert await run(model, url) == native


@pytest.mark.shows(LEASE, ONCE)
@pytest.mark.parametrize("model", MODELS)
def test_the_kernel_knows_what_was_used(model, url, enabled):
    """The tokens of a whole answer are its agent's."""
    kernel = enabled()
    with aios_adapters.agent("ann"):
        used = completion(model, SAY, **at(url(model))).usage
    row = next(row for row in kernel.status().agents if row["name"] == "ann")
    assert row["output_tokens"] == used.completion_tokens > 0


@pytest.mark.shows(LEASE, ONCE)
async def test_other_functions(endpoint, enabled):
    """Texts, responses and embeddings too."""
    given = at(endpoint.base_url)

    async def others():
        return [
            seen(text_completion(model=SDK, prompt="hello", **given)),
            seen(responses(model=HTTP, input="hello", **given)),
            seen(list(responses(model=SDK, input="hello", stream=True, **given))),
            *(seen(embedding(model=model, input=["a", "b"], **given)) for model in (SDK, HTTP)),
            seen(await aembedding(model=HTTP, input=["a"], **given)),
        ]

    native = await others()
    kernel = enabled()
    assert await others() == native
    assert kernel.status().syscalls == {"llm": 3, "embedding": 3}
    assert len(endpoint.requests) == 12


@pytest.mark.shows(SERVE, STREAM, ASYNC)
@pytest.mark.parametrize("model", MODELS)
async def test_served(model, url, enabled):
    """What a core answers reaches them in litellm's own types, and nothing is sent."""
    kernel = enabled(
        llm=ScriptedCore(lambda call: Reply(text="served in words", usage=Usage(input_tokens=5, output_tokens=4)))
    )
    given = at(url(model))
    whole = [completion(model, SAY, **given), await acompletion(model, SAY, **given)]
    streams = [completion(model, SAY, stream=True, **given), await acompletion(model, SAY, stream=True, **given)]
    assert {type(stream) for stream in streams} == {litellm.CustomStreamWrapper}
    whole += [
        litellm.stream_chunk_builder(list(streams[0])),
        litellm.stream_chunk_builder([one async for one in streams[1]]),
    ]
    for answer in whole:
        assert type(answer) is litellm.ModelResponse
        assert answer.choices[0].message.content == "served in words"
    assert whole[0].usage.total_tokens == 9
    assert (url.requests(), kernel.status().syscalls) == ([], {"llm": 4})


@pytest.mark.shows(SERVE)
def test_other_functions_are_served(endpoint, enabled):
    """A text, a response, a vector."""
    vector = Reply(vectors=((1.0, 0.5),), usage=Usage(input_tokens=2))
    enabled(llm=ScriptedCore(lambda call: vector if isinstance(call, EmbeddingCall) else "served here"))
    given = at(endpoint.base_url)
    assert text_completion(model=SDK, prompt="hello", **given).choices[0].text == "served here"
    assert responses(model=HTTP, input="hello", **given).output[0].content[0].text == "served here"
    assert list(embedding(model=HTTP, input=["a"], **given).data[0]["embedding"]) == [1.0, 0.5]
    assert endpoint.requests == []


@pytest.mark.shows(STREAM)
@pytest.mark.parametrize("model", MODELS)
def test_a_stream_that_is_dropped_gives_its_place_back(model, url, enabled):
    """While it is read the next call waits."""
    kernel = enabled(limits={"llm:*": {"in_flight": 1}})
    stream = completion(model, SAY, stream=True, **at(url(model)))
    next(stream)
    assert _running(kernel) == 1
    del stream
    wait_until(lambda: _running(kernel) == 0)
    completion(model, SAY, **at(url(model)))


@pytest.mark.shows(DENIAL)
@pytest.mark.parametrize("model", MODELS)
async def test_denied(model, url, enabled):
    """A refusal is litellm's own error, with the kernel's as its cause; nothing is sent."""

    def check(call, process):
        raise AccessDenied("not for you")

    kernel = Kernel(checks=(check,))
    enabled(kernel=kernel)
    for stream in (False, True):
        with pytest.raises(litellm.PermissionDeniedError, match="not for you") as raised:
            completion(model, SAY, stream=stream, **at(url(model)))
        assert type(raised.value.__cause__) is AccessDenied
        with pytest.raises(litellm.PermissionDeniedError, match="not for you"):
            await acompletion(model, SAY, stream=stream, **at(url(model)))
    assert url.requests() == []
    aios_adapters.disable()
    kernel.close()


@pytest.mark.shows(ONCE)
def test_an_error_is_the_same_and_gives_the_place_back(enabled):
    """What a provider refuses is what the program sees."""
    with MessagesServer() as messages:
        outcomes = []
        for settings in (None, {"limits": {"llm:*": {"in_flight": 1}}}):
            kernel = None if settings is None else enabled(**settings)
            messages.failing = 1
            with pytest.raises(litellm.InternalServerError) as raised:
                completion(OWN, SAY, **at(messages.base_url))
            outcomes.append((type(raised.value), str(raised.value)))
        assert outcomes[0] == outcomes[1]
        assert _running(kernel) == 0
        assert completion(OWN, SAY, **at(messages.base_url)).choices[0].message.content == messages.text


@pytest.mark.shows(ONCE)
def test_retries_are_calls_where_nothing_dispatches(enabled):
    """Where litellm has a function that dispatches, they are a part of the call; else each attempt is one."""
    kernel = enabled()
    with MessagesServer() as messages:
        messages.failing = 2
        answer = completion(OWN, SAY, num_retries=3, **at(messages.base_url))
    assert answer.choices[0].message.content == messages.text
    assert (len(messages.requests), kernel.status().syscalls) == (3, {"llm": 1 if DISPATCHES else 3})


@pytest.mark.shows(ONCE, STREAM)
@pytest.mark.parametrize("model", MODELS)
def test_a_journal(model, url, endpoint, tmp_path):
    """A second run gives the same, out of the first one's journal."""

    def both():
        given = at(url(model))
        return [seen(completion(model, SAY, **given)), seen(list(completion(model, SAY, stream=True, **given)))]

    first, second, replayed = twice(tmp_path / "j", endpoint, both)
    assert second == first
    assert replayed == 2
    assert len(url.requests()) == (2 if model == OWN else 0)  # the endpoint has forgotten the first run's


@pytest.mark.shows(RESTORE)
@pytest.mark.parametrize("function", [completion, text_completion, embedding, responses])
def test_what_the_decorator_keeps_is_restored(function):
    """Each round puts back the object that was there."""

    def kept():
        return inspect.getclosurevars(inspect.unwrap(function, stop=_decorates)).nonlocals["original_function"]

    before = kept()
    for _ in range(3):
        aios_adapters.enable(strict=True)
        assert kept() is not before
        assert inspect.unwrap(kept()) is before
        aios_adapters.disable()
        assert kept() is before


def _decorates(function):
    return "original_function" in function.__code__.co_freevars


@pytest.mark.shows(ONCE)
def test_paused(url, enabled):
    """Inside `paused()` they are native."""
    kernel = enabled()
    with aios_adapters.paused():
        completion(OWN, SAY, **at(url(OWN)))
    assert (kernel.status().syscalls, len(url.requests())) == ({}, 1)


@pytest.mark.shows(ONCE)
def test_an_answer_out_of_the_cache_is_no_syscall(cache, url, enabled):
    """Only a miss calls a model."""
    kernel = enabled()
    answers = [completion(OWN, SAY, **at(url(OWN))) for _ in range(2)]
    assert len({answer.choices[0].message.content for answer in answers}) == 1
    assert kernel.status().syscalls == {"llm": len(url.requests())}


def _running(kernel):
    return sum(queue["running"] for queue in kernel.status().resources)
