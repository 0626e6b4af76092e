"""The 0.x calls on later versions: only where they are asked for, as they were, through the kernel, and gone afterwards."""

from __future__ import annotations

import importlib
import sys

import openai
import pytest

import aios_adapters
from aios_evals.endpoint import Endpoint
from aios_kernel.cores.scripted import ScriptedCore
from tests.support.columns import ASYNC, LEASE, ONCE, RESTORE, SERVE, STREAM

CHAT = {"model": "sim", "messages": [{"role": "user", "content": "hello big world"}]}
PROMPT = {"model": "sim", "prompt": "a b", "temperature": 0, "max_tokens": 3}


@pytest.fixture
def endpoint(monkeypatch):
    with Endpoint(reply_tokens=6) as endpoint:
        monkeypatch.setattr(openai, "api_base", endpoint.base_url, raising=False)
        monkeypatch.setattr(openai, "api_key", "test")
        yield endpoint


def removed():
    with pytest.raises(openai.OpenAIError) as raised:
        openai.ChatCompletion.create(**CHAT)
    return type(raised.value).__name__ == "APIRemovedInV1" and not hasattr(openai, "error")


@pytest.mark.shows(RESTORE)
def test_only_when_asked_for_and_gone_afterwards(endpoint):
    """By default the old calls say that they are gone, as without us; so they do after disable()."""
    assert removed()
    aios_adapters.enable()
    assert removed()
    assert "openai_legacy=True" in aios_adapters.status()["openai_shim"].reason
    aios_adapters.enable(openai_legacy=True)
    assert openai.ChatCompletion.create(**CHAT)["choices"]
    assert importlib.import_module("openai.error").RateLimitError
    aios_adapters.disable()
    assert removed()
    assert "openai.error" not in sys.modules


def test_the_environment_asks_too(endpoint, monkeypatch):
    """AIOS_OPENAI_LEGACY=1 is for programs that cannot be changed at all."""
    monkeypatch.setenv("AIOS_OPENAI_LEGACY", "1")
    aios_adapters.enable()
    assert openai.Completion.create(**PROMPT)["choices"][0]["text"] == "a b a"


@pytest.mark.shows(LEASE, ONCE, STREAM)
def test_the_old_calls(endpoint):
    """Each is one request and one syscall, and its result a dict with attributes, as in 0.28."""
    aios_adapters.enable(openai_legacy=True, strict=True)
    assert openai.Completion.create(**PROMPT)["choices"][0]["text"] == "a b a"
    whole = openai.ChatCompletion.create(**CHAT, request_timeout=5, headers={"x-mine": "1"})
    assert whole["choices"][0]["message"]["content"] == whole.choices[0].message.content
    assert whole.usage.total_tokens == 12
    chunks = list(openai.ChatCompletion.create(**CHAT, stream=True))
    text = "".join(chunk["choices"][0].get("delta", {}).get("content") or "" for chunk in chunks)
    assert text == whole.choices[0].message.content
    vectors = openai.Embedding.create(engine="sim", input=["a", "b"])
    assert [type(item["embedding"][0]) for item in vectors["data"]] == [float, float]
    assert whole.to_dict_recursive() == whole
    assert aios_adapters.status().syscalls == {"llm": 3, "embedding": 1}
    assert [r.path for r in endpoint.requests] == [
        "/v1/completions",
        "/v1/chat/completions",
        "/v1/chat/completions",
        "/v1/embeddings",
    ]
    assert endpoint.requests[1].headers["x-mine"] == "1"
    with pytest.raises(AttributeError):
        _ = whole.no_such_key


@pytest.mark.shows(ASYNC)
async def test_the_old_asynchronous_calls(endpoint):
    """acreate, whole and streamed."""
    aios_adapters.enable(openai_legacy=True)
    whole = await openai.ChatCompletion.acreate(**CHAT)
    stream = await openai.ChatCompletion.acreate(**CHAT, stream=True)
    pieces = [chunk["choices"][0]["delta"].get("content") or "" async for chunk in stream]
    assert "".join(pieces) == whole["choices"][0]["message"]["content"]
    assert aios_adapters.status().syscalls == {"llm": 2}
    with pytest.raises(openai.error.InvalidRequestError):
        await openai.ChatCompletion.acreate(**{**CHAT, "model": "fail-400"})


@pytest.mark.shows(SERVE)
def test_a_core_answers_the_old_calls(endpoint):
    """The kernel's own core, without a request."""
    aios_adapters.enable(llm=ScriptedCore(lambda call: "one two"), openai_legacy=True)
    assert openai.Completion.create(**PROMPT)["choices"][0]["text"] == "one two"
    assert [c["choices"][0]["text"] for c in openai.Completion.create(**PROMPT, stream=True)] == ["one ", "two", ""]
    assert endpoint.requests == []


@pytest.mark.parametrize(
    ("fault", "expected"),
    [
        ("fail-400", "InvalidRequestError"),
        ("fail-401", "AuthenticationError"),
        ("fail-404", "InvalidRequestError"),
        ("fail-429", "RateLimitError"),
        ("fail-500", "APIError"),
        ("fail-503", "ServiceUnavailableError"),
    ],
)
def test_errors_have_their_old_names(endpoint, fault, expected):
    """`openai.error.X` is what programs of that time catch; one request each, as 0.x made."""
    aios_adapters.enable(openai_legacy=True)
    with pytest.raises(openai.error.OpenAIError) as raised:
        openai.ChatCompletion.create(**{**CHAT, "model": fault})
    assert type(raised.value) is getattr(openai.error, expected)
    assert raised.value.http_status == int(fault.removeprefix("fail-"))
    assert len(endpoint.requests) == 1


def test_no_server_and_other_settings(endpoint):
    """A connection that fails, an Azure setting, a resource that is not reinstated, a name that never was."""
    aios_adapters.enable(openai_legacy=True)
    with pytest.raises(openai.error.APIConnectionError):
        openai.ChatCompletion.create(**CHAT, api_base="http://127.0.0.1:9/v1")
    with pytest.raises(TypeError, match="api_type"):
        openai.ChatCompletion.create(**CHAT, api_type="azure")
    with pytest.raises(openai.OpenAIError, match=r"openai\.Edit"):
        openai.Edit.create()
    with pytest.raises(AttributeError):
        _ = openai.error.NoSuchError
