"""Every mode in which the SDK can be called, as functions of a client; and what they have in common."""

from __future__ import annotations

from collections.abc import Callable
from importlib.util import find_spec
from typing import Any

import openai
import pydantic
import pytest
from openai.resources.chat.completions import Completions

USER = [{"role": "user", "content": "hello big world"}]
SCHEMA = {"type": "object", "properties": {}, "additionalProperties": False, "required": []}
TOOL = {"type": "function", "function": {"name": "look", "strict": True, "parameters": SCHEMA}}
FLAT_TOOL = {"type": "function", "name": "look", "strict": True, "parameters": SCHEMA}
CHAT = {"model": "sim", "messages": USER}
USAGE = {"stream_options": {"include_usage": True}}
#: What the SDK's older versions lack.
HAS_RESPONSES = find_spec("openai.resources.responses") is not None
HAS_HELPERS = hasattr(Completions, "stream")
HAS_SLEEP_STEP = hasattr(openai.OpenAI, "_sleep_for_retry")
needs_responses = pytest.mark.skipif(not HAS_RESPONSES, reason="this version of the SDK has no Responses API")
needs_helpers = pytest.mark.skipif(not HAS_HELPERS, reason="this version of the SDK has no parse() and stream()")
needs_sleep_step = pytest.mark.skipif(
    not HAS_SLEEP_STEP, reason="this version of the SDK sleeps in the middle of a step"
)


class Answer(pydantic.BaseModel):
    number: int


def _chat_helper(client: Any, **more: Any) -> Any:
    with client.chat.completions.stream(**CHAT, **more) as stream:
        return [event.type for event in stream], stream.get_final_completion()


def _response_helper(client: Any, **more: Any) -> Any:
    with client.responses.stream(model="sim", input="hi there", **more) as stream:
        return [event.type for event in stream], stream.get_final_response()


def _streaming(create: Any, **more: Any) -> Any:
    with create(**more) as response:
        return response.read()


def _lines(create: Any, **more: Any) -> Any:
    with create(**more) as response:
        return list(response.iter_lines())


SYNC: dict[str, Callable[[Any], Any]] = {
    "chat": lambda c: c.chat.completions.create(**CHAT),
    "chat tools": lambda c: c.chat.completions.create(**CHAT, tools=[TOOL]),
    "chat stream": lambda c: list(c.chat.completions.create(**CHAT, stream=True)),
    "chat stream usage": lambda c: list(c.chat.completions.create(**CHAT, stream=True, **USAGE)),
    "chat stream tools": lambda c: list(c.chat.completions.create(**CHAT, stream=True, tools=[TOOL])),
    "chat raw": lambda c: c.chat.completions.with_raw_response.create(**CHAT).parse(),
    "chat raw stream": lambda c: list(c.chat.completions.with_raw_response.create(**CHAT, stream=True).parse()),
    "chat streaming response": lambda c: _streaming(c.chat.completions.with_streaming_response.create, **CHAT),
    "chat streaming lines": lambda c: _lines(c.chat.completions.with_streaming_response.create, **CHAT, stream=True),
    "chat helper": lambda c: _chat_helper(c, **USAGE),
    "chat helper tools": lambda c: _chat_helper(c, tools=[TOOL]),
    "chat parse": lambda c: c.chat.completions.parse(**CHAT, tools=[TOOL]),
    "completion": lambda c: c.completions.create(model="sim", prompt="a b", max_tokens=5),
    "completion stream": lambda c: list(c.completions.create(model="sim", prompt="a b", stream=True)),
    "completion raw": lambda c: c.completions.with_raw_response.create(model="sim", prompt="a b").parse(),
    "embedding": lambda c: c.embeddings.create(model="sim", input=["a", "b"]),
    "embedding float": lambda c: c.embeddings.create(model="sim", input="a", encoding_format="float"),
    "embedding raw": lambda c: c.embeddings.with_raw_response.create(model="sim", input="a").parse(),
    "response": lambda c: c.responses.create(model="sim", input="hi there"),
    "response tools": lambda c: c.responses.create(model="sim", input=USER, tools=[FLAT_TOOL], instructions="be"),
    "response stream": lambda c: list(c.responses.create(model="sim", input="hi there", stream=True)),
    "response helper": _response_helper,
    "response helper tools": lambda c: _response_helper(c, tools=[FLAT_TOOL]),
    "response raw": lambda c: c.responses.with_raw_response.create(model="sim", input="hi").parse(),
    "response parse": lambda c: c.responses.parse(model="sim", input="hi"),
    "post": lambda c: c.post("/chat/completions", body=CHAT, cast_to=object),
    "with_options": lambda c: c.with_options(timeout=5).chat.completions.create(**CHAT),
}


async def _all(stream: Any) -> Any:
    return [item async for item in await stream]


async def _achat_helper(client: Any) -> Any:
    async with client.chat.completions.stream(**CHAT) as stream:
        return [event.type async for event in stream], await stream.get_final_completion()


async def _aresponse_helper(client: Any, **more: Any) -> Any:
    async with client.responses.stream(model="sim", input="hi there", **more) as stream:
        return [event.type async for event in stream], await stream.get_final_response()


async def _aparsed(raw: Any) -> Any:
    return (await raw).parse()


async def _araw_stream(client: Any) -> Any:
    raw = await client.chat.completions.with_raw_response.create(**CHAT, stream=True)
    return [item async for item in raw.parse()]


async def _astreaming(client: Any) -> Any:
    async with client.chat.completions.with_streaming_response.create(**CHAT) as response:
        return await response.read()


ASYNC: dict[str, Callable[[Any], Any]] = {
    "chat": lambda c: c.chat.completions.create(**CHAT),
    "chat tools": lambda c: c.chat.completions.create(**CHAT, tools=[TOOL]),
    "chat stream": lambda c: _all(c.chat.completions.create(**CHAT, stream=True)),
    "chat raw": lambda c: _aparsed(c.chat.completions.with_raw_response.create(**CHAT)),
    "chat raw stream": _araw_stream,
    "chat streaming response": _astreaming,
    "chat helper": _achat_helper,
    "chat parse": lambda c: c.chat.completions.parse(**CHAT, tools=[TOOL]),
    "completion": lambda c: c.completions.create(model="sim", prompt="a b"),
    "completion stream": lambda c: _all(c.completions.create(model="sim", prompt="a b", stream=True)),
    "embedding": lambda c: c.embeddings.create(model="sim", input=["a", "b"]),
    "response": lambda c: c.responses.create(model="sim", input="hi there"),
    "response stream": lambda c: _all(c.responses.create(model="sim", input="hi there", stream=True)),
    "response helper": _aresponse_helper,
    "response helper tools": lambda c: _aresponse_helper(c, tools=[FLAT_TOOL]),
    "response parse": lambda c: c.responses.parse(model="sim", input="hi"),
}


def _available(modes: dict[str, Callable[[Any], Any]]) -> dict[str, Callable[[Any], Any]]:
    """The modes that this version of the SDK has."""
    missing = ("response",) * (not HAS_RESPONSES) + ("chat helper", "chat parse") * (not HAS_HELPERS)
    return {name: call for name, call in modes.items() if not name.startswith(missing)}


SYNC, ASYNC = _available(SYNC), _available(ASYNC)
