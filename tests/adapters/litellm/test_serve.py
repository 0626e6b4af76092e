"""Served calls: the kernel's core answers in litellm's own types, and nothing is sent."""

from __future__ import annotations

import asyncio
import json

import litellm
import pytest

import aios_adapters
from aios_kernel.abi import ChatCall, CompletionCall, Reply, ToolRequest, Usage
from aios_kernel.cores.scripted import ScriptedCore
from aios_kernel.errors import AccessDenied, ContextTooLong, CoreError, DeadlineExceeded, KernelClosed, QueueFull
from aios_kernel.kernel import Kernel
from tests.adapters.litellm.programs import ASYNC, HTTP, SAY, SDK, SYNC, TOOLS, WEIGH, agent, at, collect
from tests.support.columns import ASYNC as ASYNC_COLUMN
from tests.support.columns import DENIAL, IDENTITY, SERVE, STREAM
from tests.support.columns import TOOLS as TOOLS_COLUMN

WEIGHED = Reply(
    tool_calls=(ToolRequest(id="call_1", name="weigh", arguments='{"what": "pear"}'),),
    finish_reason="tool_calls",
    usage=Usage(input_tokens=7, output_tokens=3),
)


def answer(call):
    if isinstance(call, ChatCall) and call.tools and call.messages[-1]["role"] == "user":
        return WEIGHED
    return Reply(text="served in words", usage=Usage(input_tokens=5, output_tokens=4))


@pytest.mark.shows(SERVE)
@pytest.mark.parametrize("name", SYNC)
def test_sync_program(name, endpoint, enabled):
    """Every program works on a core, with results of the native types."""
    program, count = SYNC[name]
    native = program(endpoint.base_url)
    endpoint.reset()
    kernel = enabled(llm=ScriptedCore(answer))
    served = program(endpoint.base_url)
    assert _types(served) == _types(native)
    assert (endpoint.requests, kernel.status().syscalls) == ([], {"llm": count})
    assert not any(queue["running"] for queue in kernel.status().resources)


@pytest.mark.shows(SERVE, ASYNC_COLUMN)
@pytest.mark.parametrize("name", ASYNC)
async def test_async_program(name, endpoint, enabled):
    """The same in an event loop."""
    program, count = ASYNC[name]
    native = await program(endpoint.base_url)
    endpoint.reset()
    kernel = enabled(llm=ScriptedCore(answer))
    served = await program(endpoint.base_url)
    assert _types(served) == _types(native)
    assert (endpoint.requests, kernel.status().syscalls) == ([], {"llm": count})
    assert not any(queue["running"] for queue in kernel.status().resources)


def _types(result):
    """The types in a result; of a stream those that occur, in the order in which they first do."""
    return list(dict.fromkeys(map(type, result))) if isinstance(result, list) else type(result)


@pytest.mark.shows(SERVE)
@pytest.mark.parametrize("model", [SDK, HTTP])
def test_what_an_answer_says(model, endpoint, enabled):
    """Text, finish reason and usage are the core's."""
    enabled(llm=ScriptedCore(answer))
    got = litellm.completion(model, SAY, **at(endpoint.base_url))
    choice = got.choices[0]
    assert (choice.message.role, choice.message.content, choice.finish_reason) == (
        "assistant",
        "served in words",
        "stop",
    )
    assert (got.usage.prompt_tokens, got.usage.completion_tokens, got.usage.total_tokens) == (5, 4, 9)


@pytest.mark.shows(SERVE, TOOLS_COLUMN)
def test_tool_calls(endpoint, enabled):
    """A core's tool calls are the native ones, whole and streamed, and an agent goes on from them."""
    enabled(llm=ScriptedCore(answer))
    choice = litellm.completion(SDK, WEIGH, tools=TOOLS, **at(endpoint.base_url)).choices[0]
    call = choice.message.tool_calls[0]
    assert (call.id, call.function.name, json.loads(call.function.arguments)) == ("call_1", "weigh", {"what": "pear"})
    assert choice.finish_reason == "tool_calls"
    chunks = list(litellm.completion(SDK, WEIGH, tools=TOOLS, stream=True, **at(endpoint.base_url)))
    whole = litellm.stream_chunk_builder(chunks)
    assert whole.choices[0].message.tool_calls[0].function.arguments == '{"what": "pear"}'
    assert whole.choices[0].finish_reason == "tool_calls"
    assert agent(endpoint.base_url) == "served in words"


@pytest.mark.shows(SERVE, STREAM)
@pytest.mark.parametrize("options", [{}, {"stream_options": {"include_usage": True}}])
async def test_streamed_text_is_the_cores(options, endpoint, enabled):
    """The pieces are the core's own pieces, with the usage where it was asked for."""
    enabled(llm=ScriptedCore(answer))
    given = {"stream": True, **options, **at(endpoint.base_url)}
    for chunks in (list(litellm.completion(SDK, SAY, **given)), await collect(litellm.acompletion(SDK, SAY, **given))):
        texts = [chunk.choices[0].delta.content for chunk in chunks if chunk.choices and chunk.choices[0].delta.content]
        assert texts == ["served ", "in ", "words"]
        assert [chunk.choices[0].finish_reason for chunk in chunks if chunk.choices][-1] in {"stop", None}
        used = [chunk.usage for chunk in chunks if getattr(chunk, "usage", None)]
        assert [usage.completion_tokens for usage in used] == ([4] if options else [])


@pytest.mark.shows(SERVE, STREAM)
def test_a_stream_that_is_left_stops_the_core(endpoint, enabled):
    """A reader that goes away gives the core's place back to the next."""
    kernel = enabled(llm=ScriptedCore(answer), limits={"llm:*": {"in_flight": 1}})
    stream = litellm.completion(SDK, SAY, stream=True, **at(endpoint.base_url))
    next(stream)
    del stream
    assert not any(queue["running"] for queue in kernel.status().resources)
    assert litellm.completion(SDK, SAY, **at(endpoint.base_url)).choices[0].message.content == "served in words"


@pytest.mark.shows(SERVE)
async def test_embeddings(endpoint, enabled):
    """One vector per text, as numbers."""
    vectors = ((1.0, 0.5), (0.25, 2.0))
    enabled(llm=ScriptedCore(lambda call: Reply(vectors=vectors, usage=Usage(input_tokens=2))))
    given = {"model": SDK, "input": ["a", "b"], **at(endpoint.base_url)}
    for got in (litellm.embedding(**given), await litellm.aembedding(**given)):
        assert type(got) is litellm.EmbeddingResponse
        assert [list(row["embedding"]) for row in got.data] == [[1.0, 0.5], [0.25, 2.0]]
        assert got.usage.prompt_tokens == 2
    assert endpoint.requests == []


@pytest.mark.shows(SERVE)
def test_what_a_core_is_asked(endpoint, enabled):
    """The request arrives with everything the program said, in the shape of its kind."""
    asked = []

    def note(call):
        asked.append(call)
        return "noted"

    enabled(llm=ScriptedCore(note))
    litellm.completion(HTTP, SAY, temperature=0.2, max_tokens=9, stop=["."], tools=TOOLS, **at(endpoint.base_url))
    litellm.text_completion(model=SDK, prompt="once upon", **at(endpoint.base_url))
    chat, text = asked
    assert (type(chat), type(text), text.prompt) == (ChatCall, CompletionCall, "once upon")
    assert (chat.model, chat.endpoint, list(chat.messages), list(chat.tools)) == ("sim", endpoint.base_url, SAY, TOOLS)
    assert (chat.sampling.temperature, chat.sampling.max_tokens, chat.sampling.stop) == (0.2, 9, (".",))
    assert "test" not in repr(chat)


@pytest.mark.shows(SERVE)
def test_what_no_core_can_do(endpoint, enabled):
    """A parameter that the kernel cannot honour is refused by name."""
    enabled(llm=ScriptedCore(answer))
    with pytest.raises(litellm.UnsupportedParamsError, match="'n' is not supported"):
        litellm.completion(SDK, SAY, n=2, **at(endpoint.base_url))


@pytest.mark.shows(DENIAL)
@pytest.mark.parametrize(
    ("error", "native"),
    [
        (AccessDenied("no"), litellm.PermissionDeniedError),
        (QueueFull("no"), litellm.RateLimitError),
        (ContextTooLong("no"), litellm.ContextWindowExceededError),
        (DeadlineExceeded("no"), litellm.Timeout),
        (KernelClosed("no"), litellm.APIConnectionError),
        (CoreError("no"), litellm.InternalServerError),
    ],
)
async def test_refusals_are_litellms_errors(error, native, endpoint, enabled):
    """What the kernel refuses is what litellm raises, with the kernel's error as its cause; nothing is sent."""

    class Refusing(ScriptedCore):
        def prepare(self, call):
            raise error

    enabled(llm=Refusing([]))
    for stream in (False, True):
        with pytest.raises(native, match="no") as raised:
            litellm.completion(SDK, SAY, stream=stream, num_retries=2, **at(endpoint.base_url))
        assert raised.value.__cause__ is error
    with pytest.raises(native):
        await litellm.acompletion(SDK, SAY, num_retries=2, **at(endpoint.base_url))
    assert endpoint.requests == []


@pytest.mark.shows(DENIAL)
def test_a_denied_call_is_not_sent(endpoint, enabled):
    """An access check refuses a leased call as a provider would."""

    def check(call, process):
        raise AccessDenied(f"{process.name} may not ask {call.model}")

    kernel = Kernel(checks=(check,))
    enabled(kernel=kernel)
    with pytest.raises(litellm.PermissionDeniedError, match="root may not ask sim"):
        litellm.completion(HTTP, SAY, num_retries=2, **at(endpoint.base_url))
    assert endpoint.requests == []
    aios_adapters.disable()
    kernel.close()


@pytest.mark.shows(IDENTITY)
async def test_identity(endpoint, enabled):
    """Calls are the agent's that makes them, also in batches of threads and under gather."""
    kernel = enabled()

    async def one(name):
        with aios_adapters.agent(name):
            await litellm.acompletion(SDK, SAY, **at(endpoint.base_url))

    await asyncio.gather(*(one(name) for name in ("alice", "bob", "carol")))
    with aios_adapters.agent("dora"):
        litellm.batch_completion(model=SDK, messages=[SAY, SAY], **at(endpoint.base_url))
    counts = {row["name"]: row["syscalls"]["llm"] for row in kernel.status().agents if row["syscalls"].get("llm")}
    assert counts == {"alice": 1, "bob": 1, "carol": 1, "dora": 2}
