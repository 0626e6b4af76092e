"""The openai SDK's own client against the daemon, in every mode, on both transports."""

from __future__ import annotations

import asyncio
from typing import Any

import openai
import pydantic
import pytest

from aios_kernel.abi import Agent
from tests.integrations.server.support import PATIENCE, async_client_of, client_of
from tests.support.waiting import wait_until

USER = [{"role": "user", "content": "hello big world"}]
PARAMETERS = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
STRICT = {**PARAMETERS, "additionalProperties": False}
TOOL = {"type": "function", "function": {"name": "weather", "strict": True, "parameters": STRICT}}
FLAT_TOOL = {"type": "function", "name": "weather", "strict": True, "parameters": STRICT}
CHAT = {"model": "scripted", "messages": USER}
SAID = "you said hello big world"


class Answer(pydantic.BaseModel):
    number: int


def test_chat(client, kernel):
    """A chat has text, finish, usage and the number of its syscall."""
    done = client.chat.completions.create(**CHAT)
    assert done.choices[0].message.content == SAID
    assert done.choices[0].finish_reason == "stop"
    assert done.model == "scripted"
    assert done.object == "chat.completion"
    assert done.usage.total_tokens == done.usage.prompt_tokens + done.usage.completion_tokens > 0
    assert done._request_id == "aios-1"
    assert kernel.status().syscalls == {"llm": 1}


def test_chat_length(client):
    """A reply that was cut says so."""
    assert client.chat.completions.create(**CHAT, max_tokens=1).choices[0].finish_reason == "length"


def test_chat_stream(client):
    """A stream has a role, more than one piece, a finish, and usage only where it was asked for."""
    chunks = list(client.chat.completions.create(**CHAT, stream=True))
    texts = [chunk.choices[0].delta.content or "" for chunk in chunks]
    assert "".join(texts) == SAID
    assert len([text for text in texts if text]) > 1
    assert chunks[0].choices[0].delta.role == "assistant"
    assert chunks[-1].choices[0].finish_reason == "stop"
    assert len({chunk.id for chunk in chunks}) == 1
    counted = list(client.chat.completions.create(**CHAT, stream=True, stream_options={"include_usage": True}))
    assert counted[-1].choices == []
    assert counted[-1].usage.total_tokens > 0
    assert counted[0].usage is None


def test_tools(client):
    """A tool call comes whole and in pieces, and its result goes back in."""
    done = client.chat.completions.create(**CHAT, tools=[TOOL], tool_choice="required")
    (call,) = done.choices[0].message.tool_calls
    assert (call.function.name, call.function.arguments) == ("weather", '{"city": "Rome"}')
    assert done.choices[0].finish_reason == "tool_calls"
    chunks = list(client.chat.completions.create(**CHAT, tools=[TOOL], stream=True))
    pieces = [piece for chunk in chunks for piece in chunk.choices[0].delta.tool_calls or ()]
    assert pieces[0].function.name == "weather"
    assert "".join(piece.function.arguments for piece in pieces) == '{"city": "Rome"}'
    assert chunks[-1].choices[0].finish_reason == "tool_calls"
    back = [*USER, done.choices[0].message, {"role": "tool", "tool_call_id": call.id, "content": "sunny"}]
    again = client.chat.completions.create(model="scripted", messages=back, tools=[TOOL])
    assert again.choices[0].message.content == "you said sunny"
    refused = client.chat.completions.create(**CHAT, tools=[TOOL], tool_choice="none")
    assert refused.choices[0].message.content == SAID


def test_parse_and_helpers(client):
    """The SDK's helpers for schemas and streams understand the replies."""
    parsed = client.chat.completions.parse(**CHAT, response_format=Answer)
    assert parsed.choices[0].message.parsed == Answer(number=42)
    with client.chat.completions.stream(**CHAT, response_format=Answer) as stream:
        kinds = [event.type for event in stream]
        assert stream.get_final_completion().choices[0].message.parsed.number == 42
    assert "content.done" in kinds
    with client.chat.completions.stream(**CHAT, tools=[TOOL]) as stream:
        assert "tool_calls.function.arguments.done" in [event.type for event in stream]
    schema = {"type": "json_schema", "json_schema": {"name": "answer", "schema": Answer.model_json_schema()}}
    plain = client.chat.completions.create(**CHAT, response_format=schema)
    assert Answer.model_validate_json(plain.choices[0].message.content).number == 42


def test_raw_responses(client):
    """Raw and streamed responses have OpenAI's headers and bytes."""
    raw = client.chat.completions.with_raw_response.create(**CHAT)
    assert raw.headers["x-request-id"].startswith("aios-")
    assert raw.headers["content-type"] == "application/json"
    assert raw.parse().choices[0].message.content == SAID
    with client.chat.completions.with_streaming_response.create(**CHAT, stream=True) as response:
        assert response.headers["content-type"].startswith("text/event-stream")
        lines = [line for line in response.iter_lines() if line]
    assert lines[-1] == "data: [DONE]"
    assert all(line.startswith("data: ") for line in lines)


def test_completions(client):
    """Text completions come whole and streamed."""
    done = client.completions.create(model="scripted", prompt="once")
    assert (done.choices[0].text, done.object) == ("after once", "text_completion")
    chunks = list(client.completions.create(model="scripted", prompt=["once"], stream=True))
    assert "".join(chunk.choices[0].text for chunk in chunks) == "after once"


def test_embeddings(client):
    """Embeddings come as numbers and packed, as the SDK asks by default."""
    packed = client.embeddings.create(model="scripted", input=["a", "bcd"], dimensions=2)
    plain = client.embeddings.create(model="scripted", input=["a", "bcd"], dimensions=2, encoding_format="float")
    assert [one.embedding for one in packed.data] == [one.embedding for one in plain.data] == [[1.0, 0.5], [3.0, 0.5]]
    assert packed.usage.prompt_tokens == 7


def test_responses(client):
    """The Responses API: text, tools, schema, raw."""
    done = client.responses.create(model="scripted", input="hi", instructions="be brief")
    assert (done.output_text, done.status) == ("you said hi", "completed")
    assert done.usage.output_tokens > 0
    asked = client.responses.create(model="scripted", input=USER, tools=[FLAT_TOOL])
    assert (asked.output[0].type, asked.output[0].name) == ("function_call", "weather")
    output = {"type": "function_call_output", "call_id": asked.output[0].call_id, "output": "sunny"}
    again = client.responses.create(model="scripted", input=[*USER, asked.output[0], output], tools=[FLAT_TOOL])
    assert again.output_text == "you said sunny"
    assert client.responses.parse(model="scripted", input="hi", text_format=Answer).output_parsed.number == 42
    assert client.responses.with_raw_response.create(model="scripted", input="hi").parse().output_text == "you said hi"


def test_responses_stream(client):
    """Its stream is the typed one, and its helper puts it together."""
    kinds = [event.type for event in client.responses.create(model="scripted", input="hi", stream=True)]
    assert kinds[0] == "response.created"
    assert kinds[-1] == "response.completed"
    assert kinds.count("response.output_text.delta") > 1
    with client.responses.stream(model="scripted", input=USER, tools=[FLAT_TOOL]) as stream:
        kinds = [event.type for event in stream]
        assert stream.get_final_response().output[0].arguments == '{"city": "Rome"}'
    assert "response.function_call_arguments.delta" in kinds


def test_models(client):
    """Models are listed and found; one that is not served is a 404 that names the nearest."""
    assert [model.id for model in client.models.list()] == ["scripted"]
    assert client.models.retrieve("scripted").object == "model"
    with pytest.raises(openai.NotFoundError, match="Did you mean 'scripted'"):
        client.models.retrieve("scriptad")


async def test_async(listening):
    """The asynchronous client: every kind of call at once, whole and streamed."""
    async with async_client_of(listening, max_retries=0, timeout=PATIENCE) as client:

        async def streamed():
            return [chunk async for chunk in await client.chat.completions.create(**CHAT, stream=True)]

        async def events():
            return [e.type async for e in await client.responses.create(model="scripted", input="hi", stream=True)]

        answers: Any = await asyncio.gather(
            client.chat.completions.create(**CHAT),
            client.chat.completions.create(**CHAT, tools=[TOOL]),
            streamed(),
            events(),
            client.completions.create(model="scripted", prompt="once"),
            client.embeddings.create(model="scripted", input="a"),
            client.chat.completions.parse(**CHAT, response_format=Answer),
            client.chat.completions.with_raw_response.create(**CHAT),
        )
    chat, tools, chunks, kinds, completion, embedding, parsed, raw = answers
    assert chat.choices[0].message.content == SAID
    assert tools.choices[0].message.tool_calls[0].id == "call_7"
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks) == SAID
    assert kinds[-1] == "response.completed"
    assert completion.choices[0].text == "after once"
    assert embedding.data[0].embedding[0] == 1.0
    assert parsed.choices[0].message.parsed.number == 42
    assert raw.parse().choices[0].message.content == SAID


def test_identity_in_headers(listening, client, kernel):
    """Headers say who calls, for whom, and how urgent it is."""
    headers = {"X-AIOS-Agent": "reviewer", "X-AIOS-Group": "team", "X-AIOS-Priority": "3", "X-AIOS-Framework": "mine"}
    client.chat.completions.create(**CHAT, extra_headers=headers)
    (agent,) = [process.agent for process in kernel.processes if process.agent.framework == "mine"]
    assert (agent.name, agent.group, agent.priority) == ("reviewer", "team", 3)
    with pytest.raises(openai.BadRequestError, match="X-AIOS-Priority"):
        client.chat.completions.create(**CHAT, extra_headers={"X-AIOS-Priority": "high"})


def test_identity_in_the_key(listening, kernel):
    """The key's part after the colon names the agent; without one it is the peer."""
    key = listening.token or "whatever"
    for one in (f"{key}:writer", key):
        with client_of(listening, key=one, max_retries=0) as client:
            client.chat.completions.create(**CHAT)
    names = [process.name for process in kernel.processes if process.syscalls]
    assert names[0] == "writer"
    assert names[1] == "127.0.0.1" if listening.address.host else names[1].startswith("process ")


def test_processes_that_are_gone_are_forgotten(listening, kernel):
    """An agent that is known by its process only leaves the table with its connection; one with a name stays."""
    for key in (listening.token or "any", f"{listening.token or 'any'}:named"):
        with client_of(listening, key=key, max_retries=0) as client:
            client.chat.completions.create(**CHAT)
            assert len(kernel.processes) > 1
    wait_until(lambda: {process.name for process in kernel.processes} == {"root", "named"})


def test_calls_wait_in_the_kernels_queue(kernel, client, listening):
    """A request is a syscall like any other: a paused agent's waits, and the deadline it named ends it."""
    kernel.pause(kernel.spawn(Agent(name="slow")).pid)
    with pytest.raises(openai.APIStatusError) as caught:
        client.chat.completions.create(**CHAT, extra_headers={"X-AIOS-Agent": "slow", "X-AIOS-Timeout": "0.05"})
    assert (caught.value.status_code, caught.value.code) == (408, "deadline_exceeded")
    wait_until(lambda: sum(queue["waiting"] for queue in kernel.status().resources) == 0)
