"""The openai SDK on the simulated endpoint, without the kernel: what every adapter test compares with."""

from __future__ import annotations

import base64

import openai
import pytest

from aios_evals.endpoint import Endpoint
from tests.adapters.openai.modes import needs_responses

USER = [{"role": "user", "content": "hello big world"}]
TOOL = {"type": "function", "function": {"name": "look", "parameters": {"type": "object", "properties": {}}}}


@pytest.fixture
def endpoint():
    with Endpoint(reply_tokens=6) as ep:
        yield ep


@pytest.fixture
def client(endpoint):
    with openai.OpenAI(base_url=endpoint.base_url, api_key="test", max_retries=2) as client:
        yield client


def test_chat(client):
    """A chat completion and its stream carry the same text."""
    whole = client.chat.completions.create(model="sim", messages=USER)
    stream = client.chat.completions.create(model="sim", messages=USER, stream=True)
    pieces = [chunk.choices[0].delta.content or "" for chunk in stream]
    assert "".join(pieces) == whole.choices[0].message.content == "hello big world hello big world"
    assert whole.usage.total_tokens == 12


def test_tool_call(client):
    """A tool call parses into the SDK's own type."""
    reply = client.chat.completions.create(model="sim", messages=USER, tools=[TOOL])
    assert reply.choices[0].message.tool_calls[0].function.name == "look"


@needs_responses
def test_responses(client):
    """The responses API works whole and as typed events."""
    whole = client.responses.create(model="sim", input="hello big world")
    events = list(client.responses.create(model="sim", input="hello big world", stream=True))
    deltas = [event.delta for event in events if event.type == "response.output_text.delta"]
    assert "".join(deltas) == whole.output_text == events[-1].response.output_text
    assert events[-1].type == "response.completed"


def test_completions_and_embeddings(client):
    """The older completions and the embeddings, packed as the SDK asks for them, come through."""
    assert client.completions.create(model="sim", prompt="a b", max_tokens=3).choices[0].text == "a b a"
    vectors = client.embeddings.create(model="sim", input=["a", "b"]).data
    packed = client.embeddings.create(model="sim", input="a", encoding_format="base64").data[0].embedding
    assert len(base64.b64decode(packed)) == 4 * len(vectors[0].embedding)
    assert vectors[0].embedding != vectors[1].embedding


def test_errors_and_retries(client, endpoint):
    """Error replies raise the SDK's own exceptions, and its retries see a fault pass."""
    with pytest.raises(openai.BadRequestError):
        client.chat.completions.create(model="fail-400", messages=USER)
    endpoint.fail_next("fail-429")
    assert client.chat.completions.create(model="sim", messages=USER).choices
    assert [record.status for record in endpoint.requests] == [400, 429, 200]


async def test_async(endpoint):
    """The async client works against the endpoint."""
    async with openai.AsyncOpenAI(base_url=endpoint.base_url, api_key="test") as client:
        reply = await client.chat.completions.create(model="sim", messages=USER)
    assert reply.choices[0].message.content.startswith("hello")
