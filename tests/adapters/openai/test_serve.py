"""The serve path: a core of the kernel answers, in the SDK's own types, and no request leaves the process."""

from __future__ import annotations

import asyncio
import base64
import gc
import json
import struct

import openai
import pytest

import aios_adapters
from aios_kernel.abi import ChatCall, CompletionCall, Delta, EmbeddingCall, Reply, ToolRequest
from aios_kernel.cores.scripted import ScriptedCore
from aios_kernel.errors import AccessDenied, ContextTooLong, CoreError, DeadlineExceeded, KernelClosed, QueueFull
from aios_kernel.kernel import Kernel
from tests.adapters.openai.modes import (
    ASYNC,
    CHAT,
    FLAT_TOOL,
    SYNC,
    TOOL,
    USER,
    Answer,
    needs_helpers,
    needs_responses,
)
from tests.support.columns import ASYNC as ASYNCHRONOUS
from tests.support.columns import DENIAL, ONCE, SERVE, STREAM

LOOK = ToolRequest(id="call_1", name="look", arguments="{}")


def script(call):
    if isinstance(call, EmbeddingCall):
        return Reply(vectors=tuple((0.5, 0.25) for _ in call.inputs))
    if isinstance(call, ChatCall) and call.tools:
        return Reply(tool_calls=(LOOK,))
    return "one two three"


class Recorder:
    """A script that keeps the calls it was asked."""

    def __init__(self, answer=script):
        self.calls, self._answer = [], answer

    def __call__(self, call):
        self.calls.append(call)
        return self._answer(call)


def types_of(value):
    return [type(item) for item in value] if isinstance(value, (list, tuple)) else type(value)


@pytest.mark.shows(SERVE, ONCE)
@pytest.mark.parametrize("name", SYNC)
def test_native_types_without_a_request(name, client, endpoint, running):
    """Each mode gives the types it gave over HTTP, with one syscall and nothing at the endpoint."""
    before = SYNC[name](client)
    endpoint.reset()
    aios_adapters.enable(llm=ScriptedCore(script))
    served = SYNC[name](client)
    assert type(served) is type(before)
    assert set(map(str, types_of(served))) == set(map(str, types_of(before))) if isinstance(served, list) else True
    assert endpoint.requests == []
    assert sum(aios_adapters.status().syscalls.values()) == 1
    assert running() == 0


@pytest.mark.shows(SERVE, ONCE, ASYNCHRONOUS)
@pytest.mark.parametrize("name", ASYNC)
async def test_native_types_without_a_request_async(name, endpoint, running):
    """The same for the asynchronous client."""
    async with openai.AsyncOpenAI(base_url=endpoint.base_url, api_key="test") as client:
        before = await ASYNC[name](client)
        endpoint.reset()
        aios_adapters.enable(llm=ScriptedCore(script))
        assert type(await ASYNC[name](client)) is type(before)
    assert endpoint.requests == []
    assert sum(aios_adapters.status().syscalls.values()) == 1
    assert running() == 0


def test_a_client_without_a_server_or_an_event_loop(running):
    """A key and a URL that lead nowhere do: nothing is sent."""
    aios_adapters.enable(llm=ScriptedCore(script))
    with openai.OpenAI(base_url="http://127.0.0.1:9/v1", api_key="none") as client:
        assert client.chat.completions.create(**CHAT).choices[0].message.content == "one two three"


def test_what_comes_out(client):
    """Text, tool calls, vectors, finish reasons and usage arrive where the SDK has them."""
    aios_adapters.enable(llm=ScriptedCore(script))
    chat = client.chat.completions.create(**CHAT)
    assert (chat.choices[0].finish_reason, chat.usage.completion_tokens, chat.model) == ("stop", 3, "sim")
    tool = client.chat.completions.create(**CHAT, tools=[TOOL]).choices[0]
    assert (tool.finish_reason, tool.message.tool_calls[0].id) == ("tool_calls", "call_1")
    stream = list(client.chat.completions.create(**CHAT, stream=True, stream_options={"include_usage": True}))
    assert "".join(c.choices[0].delta.content or "" for c in stream if c.choices) == "one two three"
    assert stream[-1].usage.completion_tokens == 3
    assert stream[-2].choices[0].finish_reason == "stop"
    pieces = list(client.chat.completions.create(**CHAT, stream=True, tools=[TOOL]))
    assert pieces[-1].choices[0].finish_reason == "tool_calls"
    assert client.completions.create(model="sim", prompt="a").choices[0].text == "one two three"
    assert client.embeddings.create(model="sim", input=["a", "b"]).data[1].embedding == [0.5, 0.25]
    packed = client.embeddings.create(model="sim", input="a", encoding_format="base64").data[0].embedding
    assert struct.unpack("<2f", base64.b64decode(packed)) == (0.5, 0.25)


@needs_responses
def test_what_comes_out_of_responses(client):
    """The same in the Responses API."""
    aios_adapters.enable(llm=ScriptedCore(script))
    whole = client.responses.create(model="sim", input="hi")
    assert (whole.output_text, whole.status, whole.usage.output_tokens) == ("one two three", "completed", 3)
    assert client.responses.create(model="sim", input="hi", tools=[FLAT_TOOL]).output[0].call_id == "call_1"


def test_length_is_told(client):
    """A reply that was cut says so."""
    aios_adapters.enable(llm=ScriptedCore(lambda call: Reply(text="cut", finish_reason="length")))
    assert client.chat.completions.create(**CHAT).choices[0].finish_reason == "length"


@needs_responses
def test_length_is_told_in_responses(client):
    """A response that was cut is incomplete, whole and streamed."""
    aios_adapters.enable(llm=ScriptedCore(lambda call: Reply(text="cut", finish_reason="length")))
    whole = client.responses.create(model="sim", input="hi")
    assert (whole.status, whole.incomplete_details.reason) == ("incomplete", "max_output_tokens")
    events = list(client.responses.create(model="sim", input="hi", stream=True))
    assert events[-1].type == "response.incomplete"


@needs_helpers
@needs_responses
def test_structured_output_is_parsed(client):
    """parse() gives the program's own type, from chat and from responses."""
    recorder = Recorder(lambda call: json.dumps({"number": 7}))
    aios_adapters.enable(llm=ScriptedCore(recorder))
    parsed = client.chat.completions.parse(**CHAT, response_format=Answer).choices[0].message.parsed
    assert parsed == Answer(number=7)
    assert client.responses.parse(model="sim", input="hi", text_format=Answer).output_parsed == Answer(number=7)
    chat, response = (call.response_format for call in recorder.calls)
    assert chat["json_schema"]["schema"] == response["json_schema"]["schema"]


@needs_responses
def test_events_of_text_and_a_call(client):
    """A response with text and two function calls has each item once, in order, begun and done."""
    other = ToolRequest(id="call_2", name="look", arguments='{"a": 1}')
    aios_adapters.enable(llm=ScriptedCore(lambda call: Reply(text="let me look ", tool_calls=(LOOK, other))))
    with client.responses.stream(model="sim", input="hi", tools=[FLAT_TOOL]) as stream:
        events = list(stream)
        final = stream.get_final_response()
    assert [event.sequence_number for event in events] == list(range(len(events)))
    assert [item.type for item in final.output] == ["message", "function_call", "function_call"]
    assert final.output[2].arguments == '{"a": 1}'
    for kind in ("added", "done"):
        places = [event.output_index for event in events if event.type == f"response.output_item.{kind}"]
        assert places == [0, 1, 2]


# What the kernel is asked


def test_a_chat_is_translated(client):
    """Messages, tools and sampling of a chat completion reach the core as they are; the rest is kept as extra."""
    recorder = Recorder()
    aios_adapters.enable(llm=ScriptedCore(recorder))
    client.chat.completions.create(
        **CHAT,
        tools=[TOOL],
        tool_choice="required",
        temperature=0.5,
        top_p=0.9,
        max_tokens=7,
        stop="x",
        seed=3,
        user="me",
        extra_body={"top_k": 4},
    )
    (call,) = recorder.calls
    assert (list(call.messages), list(call.tools), call.tool_choice) == (USER, [TOOL], "required")
    sampling = call.sampling
    assert (sampling.temperature, sampling.top_p, sampling.top_k, sampling.max_tokens) == (0.5, 0.9, 4, 7)
    assert (sampling.stop, sampling.seed, dict(call.extra)) == (("x",), 3, {"user": "me"})
    assert (call.model, call.endpoint.endswith("/v1")) == ("sim", True)


@needs_responses
def test_a_response_is_translated(client):
    """Instructions, items, function calls and their outputs become one chat."""
    recorder = Recorder()
    aios_adapters.enable(llm=ScriptedCore(recorder))
    items = [
        {"role": "user", "content": [{"type": "input_text", "text": "a"}, {"type": "input_text", "text": "b"}]},
        {"type": "reasoning", "id": "r", "summary": []},
        {"type": "message", "role": "assistant", "id": "m", "status": "completed", "content": [
            {"type": "output_text", "text": "calling", "annotations": []}]},
        {"type": "function_call", "call_id": "c1", "name": "look", "arguments": "{}"},
        {"type": "function_call", "call_id": "c2", "name": "look", "arguments": "{}"},
        {"type": "function_call_output", "call_id": "c1", "output": "seen"},
        {"type": "function_call_output", "call_id": "c2", "output": [{"type": "input_text", "text": "too"}]},
    ]  # fmt: skip
    choice = {"type": "function", "name": "look"}
    client.responses.create(
        model="sim", instructions="be", input=items, tools=[FLAT_TOOL], tool_choice=choice, max_output_tokens=5
    )
    (call,) = recorder.calls
    system, user, assistant, first, second = call.messages
    assert (system, user) == ({"role": "system", "content": "be"}, {"role": "user", "content": "ab"})
    assert (assistant["content"], [c["id"] for c in assistant["tool_calls"]]) == ("calling", ["c1", "c2"])
    assert (first["content"], second["content"], second["tool_call_id"]) == ("seen", "too", "c2")
    assert call.tools[0]["function"]["name"] == "look"
    assert call.tool_choice["function"] == {"name": "look"}
    assert call.sampling.max_tokens == 5


def test_completions_and_embeddings_are_translated(client):
    """Prompt, echo and dimensions arrive; one text and several look the same to the core."""
    recorder = Recorder()
    aios_adapters.enable(llm=ScriptedCore(recorder))
    client.completions.create(model="sim", prompt=["one"], echo=True)
    client.embeddings.create(model="sim", input="one", dimensions=2)
    client.embeddings.create(model="sim", input=[1, 2])
    completion, one, tokens = recorder.calls
    assert isinstance(completion, CompletionCall)
    assert (completion.prompt, completion.echo) == ("one", True)
    assert (list(one.inputs), one.dimensions, [list(t) for t in tokens.inputs]) == (["one"], 2, [[1, 2]])


@pytest.mark.parametrize(
    ("parameter", "create"),
    [
        ("n", lambda c: c.chat.completions.create(**CHAT, n=2)),
        ("logprobs", lambda c: c.chat.completions.create(**CHAT, logprobs=True)),
        ("functions", lambda c: c.chat.completions.create(**CHAT, functions=[{"name": "f"}])),
        ("best_of", lambda c: c.completions.create(model="sim", prompt="a", best_of=2)),
        ("prompt", lambda c: c.completions.create(model="sim", prompt=["a", "b"])),
        pytest.param(
            "previous_response_id",
            lambda c: c.responses.create(model="sim", input="a", previous_response_id="r"),
            marks=needs_responses,
        ),
        pytest.param(
            "tools[0].type",
            lambda c: c.responses.create(model="sim", input="a", tools=[{"type": "web_search"}]),
            marks=needs_responses,
        ),
        pytest.param(
            "input[0].type",
            lambda c: c.responses.create(model="sim", input=[{"type": "item_reference", "id": "x"}]),
            marks=needs_responses,
        ),
    ],
)
def test_what_no_core_can_do_is_a_400_that_names_it(parameter, create, client, running):
    """An unsupported parameter is refused as a server would, not ignored."""
    aios_adapters.enable(llm=ScriptedCore(script))
    with pytest.raises(openai.BadRequestError) as caught:
        create(client)
    assert caught.value.param == parameter
    assert parameter in caught.value.message
    assert running() == 0


# Refusals and failures


@pytest.mark.shows(DENIAL)
@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (AccessDenied("no"), openai.PermissionDeniedError),
        (QueueFull("full"), openai.RateLimitError),
        (DeadlineExceeded("late"), openai.APITimeoutError),
        (ContextTooLong("long"), openai.BadRequestError),
        (KernelClosed("shut"), openai.APIConnectionError),
        (CoreError("broken"), openai.InternalServerError),
    ],
)
@pytest.mark.parametrize("stream", [False, True])
async def test_refusals_are_the_sdks_own_errors(error, expected, stream, endpoint):
    """What the kernel refuses is what a server would have said, with the kernel's error as its cause; sync and async."""

    class Refusing(ScriptedCore):
        def prepare(self, call):
            raise error

    aios_adapters.enable(llm=Refusing([]))
    with openai.OpenAI(base_url=endpoint.base_url, api_key="test") as client, pytest.raises(expected) as caught:
        client.chat.completions.create(**CHAT, stream=stream)
    assert repr(caught.value.__cause__) == repr(error)  # the object itself, where the kernel is in this process
    async with openai.AsyncOpenAI(base_url=endpoint.base_url, api_key="test") as client:
        with pytest.raises(expected):
            await client.chat.completions.create(**CHAT, stream=stream)
    assert endpoint.requests == []


@pytest.mark.shows(DENIAL)
def test_a_denied_lease_is_a_403(client, endpoint):
    """An access check that refuses keeps the request from being sent."""

    def check(call, process):
        raise AccessDenied("not this agent")

    kernel = Kernel(checks=(check,))
    aios_adapters.enable(kernel=kernel)
    with pytest.raises(openai.PermissionDeniedError, match="not this agent"):
        client.chat.completions.create(**CHAT)
    assert endpoint.requests == []
    kernel.close()


def test_a_core_that_fails_in_the_middle(client):
    """Before the first piece the error is raised by create(), after it by the stream."""
    jobs = []

    class Breaking(ScriptedCore):
        def start(self, job):
            jobs.append(job)
            job.emit(Delta(text="one"))

    aios_adapters.enable(llm=Breaking([]))
    stream = client.chat.completions.create(**CHAT, stream=True)
    next(stream)
    jobs[0].fail(CoreError("in the middle"))
    with pytest.raises(openai.APIError, match="in the middle"):
        list(stream)
    aios_adapters.disable()
    aios_adapters.enable(llm=ScriptedCore([]))
    with pytest.raises(openai.InternalServerError):
        client.chat.completions.create(**CHAT, stream=True)


@pytest.mark.shows(STREAM)
def test_tokens_come_as_they_are_made(client):
    """A served stream is lazy: the first piece is there while the core is still at work."""
    jobs = []

    class Slow(ScriptedCore):
        def start(self, job):
            jobs.append(job)
            job.emit(Delta(text="one "))

    aios_adapters.enable(llm=Slow([]))
    stream = client.chat.completions.create(**CHAT, stream=True)
    next(stream)
    assert next(stream).choices[0].delta.content == "one "
    jobs[0].emit(Delta(text="two"))
    assert next(stream).choices[0].delta.content == "two"
    jobs[0].finish(Reply(text="one two"))
    assert [chunk.choices[0].finish_reason for chunk in stream] == ["stop"]


@pytest.mark.parametrize("way", ["close", "drop"])
async def test_a_served_stream_that_is_left_cancels_its_job(way, endpoint, running):
    """Closing or dropping a half-read served stream tells the core and frees the slot, sync and async."""
    jobs = []

    class Endless(ScriptedCore):
        def start(self, job):
            jobs.append(job)
            job.on_cancel(lambda: job.fail(CoreError("cancelled")))
            for _ in range(3):
                job.emit(Delta(text="x"))

    aios_adapters.enable(llm=Endless([]))
    async with openai.AsyncOpenAI(base_url=endpoint.base_url, api_key="test") as aclient:
        with openai.OpenAI(base_url=endpoint.base_url, api_key="test") as client:
            stream = client.chat.completions.create(**CHAT, stream=True)
            astream = await aclient.chat.completions.create(**CHAT, stream=True)
            next(stream)
            await anext(astream)
            assert running() == 2
            if way == "close":
                stream.close()
                await astream.close()
            del stream, astream
            gc.collect()
            await asyncio.sleep(0.02)
    assert running() == 0
    assert all(job.cancelled for job in jobs)
