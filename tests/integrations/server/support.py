"""A daemon in a thread of the test, clients for it, and a scripted model."""

from __future__ import annotations

import contextlib
import json
import threading
from concurrent.futures import Future
from typing import Any

import httpx2
import openai

from aios_integrations.server import Daemon
from aios_kernel.abi import ChatCall, CompletionCall, EmbeddingCall, Reply, ToolRequest, Usage

PATIENCE = 20


@contextlib.contextmanager
def serving(kernel, address, **options):
    """Run a daemon over the kernel; give where it listens, and drain it at the end."""
    with Daemon(address, **options) as daemon:
        started = Future()

        def run():
            try:
                daemon.run(kernel, started.set_result)
            except BaseException as error:  # noqa: BLE001 - whatever it is, the test is told
                started.set_exception(error)

        thread = threading.Thread(target=run, name="daemon")
        thread.start()
        try:
            yield started.result(PATIENCE)
        finally:
            daemon.stop()
            thread.join(PATIENCE)
            assert not thread.is_alive()


def client_of(listening, key=None, **options) -> Any:
    """The openai SDK's client for a daemon."""
    transport = httpx2.HTTPTransport(uds=listening.address.path) if listening.address.path else httpx2.HTTPTransport()
    http = openai.DefaultHttpxClient(transport=transport)
    return openai.OpenAI(
        base_url=listening.base_url, api_key=key or listening.token or "any", http_client=http, **options
    )


def async_client_of(listening, key=None, **options) -> Any:
    """Its asynchronous client."""
    path = listening.address.path
    transport = httpx2.AsyncHTTPTransport(uds=path) if path else httpx2.AsyncHTTPTransport()
    http = openai.DefaultAsyncHttpxClient(transport=transport)
    key = key or listening.token or "any"
    return openai.AsyncOpenAI(base_url=listening.base_url, api_key=key, http_client=http, **options)


def raw_client_of(listening, **options):
    """An HTTP client for what no SDK would send."""
    transport = httpx2.HTTPTransport(uds=listening.address.path) if listening.address.path else httpx2.HTTPTransport()
    headers = {"authorization": f"Bearer {listening.token}"} if listening.token else {}
    root = listening.base_url.removesuffix("/v1")
    return httpx2.Client(base_url=root, transport=transport, headers=headers, timeout=PATIENCE, **options)


def script(call):
    """Answer every kind of call in a way that shows what was asked."""
    if isinstance(call, EmbeddingCall):
        size = call.dimensions or 3
        vectors = tuple((float(len(text)), *(0.5,) * (size - 1)) for text in call.inputs)
        return Reply(vectors=vectors, usage=Usage(input_tokens=7))
    if isinstance(call, CompletionCall):
        return f"after {call.prompt}"
    assert isinstance(call, ChatCall)
    asked = str(call.messages[-1].get("content"))
    if call.messages[-1]["role"] != "tool" and call.tools and call.tool_choice != "none":
        tool = call.tools[0]["function"]["name"]
        return Reply(text="", tool_calls=(ToolRequest(id="call_7", name=tool, arguments='{"city": "Rome"}'),))
    if call.response_format:
        return json.dumps({"number": 42})
    if call.sampling.max_tokens == 1:
        return Reply(text="one", finish_reason="length")
    return f"you said {asked}"
