"""Faults of the server behind a core: through the daemon a client gets what the bare SDK gets from that server itself."""

from __future__ import annotations

import asyncio

import openai
import pytest

from aios_evals.endpoint import Endpoint
from aios_kernel.address import Address
from aios_kernel.cores.openai_compatible import OpenAICore
from aios_kernel.kernel import Kernel
from tests.integrations.server.support import async_client_of, client_of, serving
from tests.support.waiting import wait_until

FAULTS = (
    *(f"fail-{status}" for status in (400, 401, 403, 404, 409, 422, 429, 500, 503)),
    "disconnect",
    "truncated-stream",
    "hang",
)
WAIT = 20  # seconds a client waits for an answer


@pytest.fixture(scope="module")
def endpoint():
    with Endpoint(reply_tokens=6) as endpoint:
        yield endpoint


MODES = tuple(f"sim {mode}" for mode in ("sync", "sync stream", "async", "async stream"))


@pytest.fixture(scope="module")
def kernel(endpoint):
    # A core learns from refusals and then holds back: each cell of the table has one of its own.
    names = [f"{mode}+{fault}" for mode in MODES for fault in (*FAULTS, "bad-json")]
    return Kernel(llm={name: OpenAICore(endpoint.base_url, name=name, timeout=0.3) for name in names})


@pytest.fixture(scope="module")
def daemon(kernel, tmp_path_factory):
    # One for the whole table: whatever a client does to it, the next one finds it well.
    path = tmp_path_factory.mktemp("faults") / "k.sock"
    with serving(kernel, Address(path=str(path)), drain=5) as listening:
        yield listening


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    monkeypatch.setattr("openai._base_client.INITIAL_RETRY_DELAY", 0.01)
    monkeypatch.setattr("openai._base_client.MAX_RETRY_DELAY", 0.02)


def chat(fault, mode="sync"):
    return {"model": f"sim {mode}+{fault}", "messages": [{"role": "user", "content": "hello"}]}


def failure(client, fault, *, stream):
    """What a call raises."""
    try:
        result = client.chat.completions.create(**chat(fault, "sync stream" if stream else "sync"), stream=stream)
        list(result) if stream else None
    except Exception as error:  # noqa: BLE001 - the class is what is compared
        return type(error), getattr(error, "status_code", None)
    return None


async def afailure(client, fault, *, stream):
    try:
        mode = "async stream" if stream else "async"
        result = await client.chat.completions.create(**chat(fault, mode), stream=stream)
        if stream:
            async for _ in result:
                pass
    except Exception as error:  # noqa: BLE001
        return type(error), getattr(error, "status_code", None)
    return None


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
@pytest.mark.parametrize("fault", FAULTS)
def test_same_exception(endpoint, daemon, kernel, fault, stream):
    """The same class and status as without a kernel, in bounded time, and no grant is left behind."""
    timeout = 0.2 if fault == "hang" else WAIT
    with openai.OpenAI(base_url=endpoint.base_url, api_key="x", max_retries=1, timeout=timeout) as bare:
        expected = failure(bare, fault, stream=stream)
    with client_of(daemon, max_retries=1, timeout=timeout) as client:
        assert failure(client, fault, stream=stream) == expected
    assert expected is not None
    wait_until(lambda: kernel.running == 0)


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
@pytest.mark.parametrize("fault", FAULTS)
async def test_same_exception_async(endpoint, daemon, kernel, fault, stream):
    """The same for the asynchronous client."""
    timeout = 0.2 if fault == "hang" else WAIT
    async with openai.AsyncOpenAI(base_url=endpoint.base_url, api_key="x", max_retries=1, timeout=timeout) as bare:
        expected = await asyncio.wait_for(afailure(bare, fault, stream=stream), 60)
    async with async_client_of(daemon, max_retries=1, timeout=timeout) as client:
        assert await asyncio.wait_for(afailure(client, fault, stream=stream), 60) == expected
    assert expected is not None
    await asyncio.to_thread(wait_until, lambda: kernel.running == 0)


def test_nonsense_from_the_server(daemon):
    """A server that answers in no JSON is a bad gateway, which says so."""
    with client_of(daemon, max_retries=0) as client, pytest.raises(openai.InternalServerError, match="JSON") as caught:
        client.chat.completions.create(**chat("bad-json"))
    assert caught.value.status_code == 502


def test_nobody_listens(tmp_path):
    """A server that is not there is named, with what to do."""
    kernel = Kernel(llm=OpenAICore("http://127.0.0.1:9/v1"))
    with (
        serving(kernel, Address(path=str(tmp_path / "n.sock"))) as listening,
        client_of(listening, max_retries=0) as client,
        pytest.raises(openai.InternalServerError, match="nothing listens at http"),
    ):
        client.chat.completions.create(**chat("ok"))
