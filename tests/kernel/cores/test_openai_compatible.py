"""The core for OpenAI-compatible servers, against the simulated endpoint."""

from __future__ import annotations

import threading
import urllib.request
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager

import pytest

from aios_evals.endpoint import Endpoint, ToolCall
from aios_kernel import (
    ChatCall,
    CompletionCall,
    ConfigError,
    CoreError,
    DeadlineExceeded,
    EmbeddingCall,
    Kernel,
    Sampling,
)
from aios_kernel.cores.base import Core
from aios_kernel.cores.http_pool import Server
from aios_kernel.cores.openai_compatible import OpenAICore
from aios_kernel.cores.registry import core as make_core
from tests.contracts.core import ASK, CoreContract
from tests.support.waiting import PATIENCE, wait_until

KEY = "sk-very-secret-0123456789"


class AtEndpoint(OpenAICore):
    """A core that shows its tests the endpoint it talks to."""

    endpoint: Endpoint


@contextmanager
def at(model: str = "sim", **endpoint) -> Iterator[AtEndpoint]:
    """A core before an endpoint of its own."""
    with Endpoint(**endpoint) as server:
        core = AtEndpoint(server.base_url, model, KEY, timeout=PATIENCE)
        core.endpoint = server
        yield core
        core.close()
        wait_until(lambda: core.status()["workers"] == 0)
        # Connections are accepted in order: after this one, none that was broken off is still on its way.
        urllib.request.urlopen(f"{server.root_url}/_stats", timeout=PATIENCE).close()


class TestOpenAICore(CoreContract):
    def serving(self) -> AbstractContextManager[Core]:
        return at()

    def calling(self) -> AbstractContextManager[Core]:
        return at(reply=lambda prompt: ToolCall("look_up", {"word": "x"}))

    def failing(self) -> AbstractContextManager[Core]:
        return at("fail-500")

    def slow(self) -> AbstractContextManager[Core]:
        return at("hang")


@pytest.fixture
def core() -> Iterator[AtEndpoint]:
    with at() as made:
        yield made


@pytest.fixture
def kernel(core) -> Iterator[Kernel]:
    kernel = Kernel(llm=core)
    yield kernel
    kernel.close()


def ask(kernel, **options):
    with kernel.syscall(ChatCall(model="m", messages=ASK, **options)) as grant:
        return grant.reply()


def test_the_request_carries_what_was_asked_and_nothing_else(core, kernel):
    """Model, messages, sampling and the caller's own extras; the key as a bearer token."""
    ask(kernel, sampling=Sampling(temperature=0.5, max_tokens=3, stop=("!",)), extra={"user": "me"})
    record = core.endpoint.requests[0]
    assert record.body == {
        "model": "sim",
        "messages": list(ASK),
        "temperature": 0.5,
        "max_tokens": 3,
        "stop": ["!"],
        "user": "me",
    }
    assert record.headers["authorization"] == f"Bearer {KEY}"


def test_a_json_schema_is_passed_on(kernel):
    """The server, not the core, sees to the shape of the reply."""
    schema = {"type": "object", "properties": {"word": {"type": "string"}}, "required": ["word"]}
    form = {"type": "json_schema", "json_schema": {"name": "w", "schema": schema}}
    assert ask(kernel, response_format=form).text == '{"word": "say something"}'


def test_completions_and_embeddings(kernel):
    """The other two operations of the interface."""
    with kernel.syscall(CompletionCall(model="m", prompt="once upon")) as grant:
        assert grant.reply().text.startswith("once upon")
    with kernel.syscall(EmbeddingCall(model="m", inputs=("a", "b"))) as grant:
        vectors = grant.reply().vectors
    assert len(vectors) == 2
    assert all(isinstance(number, float) for number in vectors[0])


def test_connections_are_kept(core, kernel):
    """Calls one after the other need one worker and one connection."""
    for _ in range(3):
        ask(kernel)
    assert core.status()["workers"] == 1


@pytest.mark.parametrize(
    ("model", "said"),
    [
        ("fail-400", "answered 400: scripted fault"),
        ("bad-json", "did not answer in JSON"),
        ("disconnect", "the connection to"),
    ],
)
def test_errors_say_what_the_server_said(model, said):
    """The status and the server's words reach the caller, and never the key."""
    with at(model) as core:
        kernel = Kernel(llm=core)
        with pytest.raises(CoreError, match=said) as caught:
            ask(kernel)
        assert KEY not in str(caught.value)
        kernel.close()


def test_the_key_is_taken_out_of_what_the_server_says(core):
    """Servers quote keys in their error messages."""
    assert KEY not in str(core._error(401, f'{{"error": {{"message": "Incorrect API key: {KEY}"}}}}'))
    assert KEY not in repr(core)
    assert core._error(401, "no").status == 401


def test_a_stream_that_breaks_off_is_an_error():
    """Half a reply is not passed off as a whole one."""
    with at("truncated-stream") as core:
        kernel = Kernel(llm=core)
        with pytest.raises(CoreError), kernel.syscall(ChatCall(model="m", messages=ASK, stream=True)) as grant:
            list(grant.deltas())
        kernel.close()


def test_cancelling_closes_the_connection():
    """The server learns at once that nobody wants the reply any more."""
    with at("hang") as core:
        kernel = Kernel(llm=core)
        with kernel.syscall(ChatCall(model="m", messages=ASK)):
            wait_until(lambda: core.endpoint.requests)
        wait_until(lambda: core.endpoint.requests[0].status == 499)
        kernel.close()


@pytest.mark.parametrize("retry_after", [None, 0.05])
def test_refused_calls_go_back_to_the_queue_and_none_fails(retry_after):
    """Thirty callers on three places of a server that refuses the rest."""
    done: list[str] = []
    with at(capacity=3, mode="reject", latency=0.01, retry_after=retry_after) as core:
        kernel = Kernel(llm=core)
        threads = [threading.Thread(target=lambda: done.append(ask(kernel).text), daemon=True) for _ in range(30)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(PATIENCE)
        assert len(done) == 30
        assert core.endpoint.stats()["statuses"]["200"] == 30
        kernel.close()


def test_a_deadline_ends_a_call_that_waits_for_another_turn():
    """A call pushed back for longer than its caller wants to wait is answered."""
    with at("fail-429", retry_after=60.0) as core:
        kernel = Kernel(llm=core)
        with pytest.raises(DeadlineExceeded):
            ask(kernel, timeout=0.2)
        kernel.close()


def test_an_empty_account_is_a_failure_and_no_refusal(core, kernel):
    """Waiting would not fill it."""
    response = type("Response", (), {"status": 429, "getheader": lambda self, name: None})()
    assert not core._push_back(None, response, '{"error": {"code": "insufficient_quota"}}')


def test_nobody_there_is_said_plainly():
    """The address and what to do."""
    kernel = Kernel(llm=OpenAICore("http://127.0.0.1:9/v1", "m", KEY))
    with pytest.raises(CoreError, match="nothing listens at"):
        ask(kernel)
    kernel.close()


def test_settings(monkeypatch):
    """Base URLs, the registry's spelling, and which server may see the key of the environment."""
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    assert make_core("openai:http://localhost:1/v1").name == "openai:http://localhost:1/v1"
    assert OpenAICore("http://localhost:1/v1")._key == KEY
    assert OpenAICore("https://example.com/v1")._key == KEY
    assert OpenAICore("http://example.com/v1")._key == ""
    with pytest.raises(ConfigError):
        OpenAICore("localhost:8000")
    monkeypatch.delenv("OPENAI_BASE_URL", raising=False)
    with pytest.raises(ConfigError):
        OpenAICore()


def test_proxies_are_used_but_not_to_this_machine(monkeypatch):
    """The environment's proxy serves remote hosts, unless NO_PROXY names them."""
    monkeypatch.setenv("https_proxy", "http://user:pw@proxy:3128")
    monkeypatch.setenv("no_proxy", "inside.example")
    assert Server("https://api.example/v1", 1.0).proxy is not None
    assert Server("https://inside.example/v1", 1.0).proxy is None
    assert Server("http://127.0.0.1:1/v1", 1.0).proxy is None
    assert "pw" not in repr(Server("https://api.example/v1", 1.0))
