"""Bad input, each with a clear answer, while others are served."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import socket
import subprocess
import threading
import time
from pathlib import Path

import httpx2
import openai
import pytest

from aios_integrations.server import protocol
from aios_integrations.server.openai_api import body as body_module
from aios_kernel.abi import Reply
from aios_kernel.address import Address
from aios_kernel.cores.scripted import ScriptedCore
from aios_kernel.errors import AccessDenied
from aios_kernel.kernel import Kernel
from aios_kernel.scheduling import FixedLimiter
from tests.integrations.server.support import PATIENCE, client_of, raw_client_of, script, serving
from tests.support.waiting import wait_until

CHAT = {"model": "scripted", "messages": [{"role": "user", "content": "hi"}]}
URL = "/v1/chat/completions"


@pytest.fixture
def raw(listening):
    with raw_client_of(listening) as client:
        yield client


@pytest.fixture
def others_are_served(client):
    """After whatever a test did, an ordinary client has its answer."""
    yield
    assert client.chat.completions.create(**CHAT).choices[0].message.content == "you said hi"


def connect(listening):
    """A bare connection."""
    address = listening.address
    if address.path:
        sock = socket.socket(socket.AF_UNIX)
        sock.connect(address.path)
    else:
        sock = socket.create_connection((address.host, address.port))
    sock.settimeout(PATIENCE)
    return sock


def head(listening, *lines):
    key = f"authorization: Bearer {listening.token}" if listening.token else "x-a: b"
    return "\r\n".join([f"POST {URL} HTTP/1.1", "host: localhost", key, *lines, "", ""]).encode()


def refused(response, status, code=None):
    error = response.json()["error"]
    assert response.status_code == status, error
    assert set(error) == {"message", "type", "param", "code"}
    assert code is None or error["code"] == code, error
    return error


@pytest.mark.usefixtures("others_are_served")
@pytest.mark.parametrize(
    "content", [b"", b"{", b"\xff\xfe", b'{"model": "scripted", "messages": [}', b"[" * 100_000, b'"text"', b"[1]"]
)
def test_malformed_json(raw, content):
    """What is no JSON object is a 400."""
    refused(raw.post(URL, content=content), 400)


FIELDS = [
    ({"model": None}, "model"),
    ({"model": 5}, "model"),
    ({"messages": None}, "messages"),
    ({"messages": []}, "messages"),
    ({"messages": "hi"}, "messages"),
    ({"messages": [{"content": "hi"}]}, "messages"),
    ({"messages": [{"role": "user", "content": 5}]}, "messages"),
    ({"messages": [{"role": "assistant", "tool_calls": [{"id": "x"}]}]}, "messages"),
    ({"temperature": "hot"}, "temperature"),
    ({"temperature": 3}, "temperature"),
    ({"top_p": -1}, "top_p"),
    ({"max_tokens": 0}, "max_tokens"),
    ({"max_tokens": 1.5}, "max_tokens"),
    ({"stop": 5}, "stop"),
    ({"seed": "x"}, "seed"),
    ({"stream": "yes"}, "stream"),
    ({"tools": {"a": 1}}, "tools"),
    ({"tools": [{"type": "function"}]}, "tools"),
    ({"response_format": "json"}, "response_format"),
    ({"n": 2}, "n"),
    ({"logprobs": True}, "logprobs"),
    ({"logit_bias": {"5": 1}}, "logit_bias"),
    ({"functions": [{"name": "f"}]}, "functions"),
    ({"continue_final_message": True}, "continue_final_message"),
]


@pytest.mark.parametrize("transport", ["unix"])
def test_fields(kernel, tmp_path, transport):
    """A field of a wrong kind, or one that no core can honour, is a 400 that names it."""
    with serving(kernel, Address(path=str(tmp_path / "f.sock"))) as listening, raw_client_of(listening) as raw:
        for changed, name in FIELDS:
            body = {key: value for key, value in {**CHAT, **changed}.items() if value is not None}
            assert refused(raw.post(URL, json=body), 400)["param"] == name, changed
        for path, body, name in [
            ("/v1/completions", {"model": "scripted"}, "prompt"),
            ("/v1/completions", {"model": "scripted", "prompt": ["a", "b"]}, "prompt"),
            ("/v1/responses", {"model": "scripted"}, "input"),
            ("/v1/responses", {"model": "scripted", "input": "a", "previous_response_id": "r"}, "previous_response_id"),
            ("/v1/responses", {"model": "scripted", "input": "a", "tools": [{"type": "web_search"}]}, "tools[0].type"),
            ("/v1/embeddings", {"model": "scripted", "input": []}, "input"),
            ("/v1/embeddings", {"model": "scripted", "input": [None]}, "input"),
        ]:
            assert refused(raw.post(path, json=body), 400)["param"] == name, body
        assert (
            raw.post(URL, json={**CHAT, "something_new": {"a": 1}, "user": "me", "logprobs": False}).status_code == 200
        )
    assert kernel.status().syscalls == {"llm": 1}


@pytest.mark.usefixtures("others_are_served")
def test_unknown_model_and_route(raw, client):
    """A model that is not served is a 404 with the nearest; so is a route."""
    with pytest.raises(openai.NotFoundError, match="Did you mean 'scripted'") as caught:
        client.chat.completions.create(**{**CHAT, "model": "script"})
    assert (caught.value.code, caught.value.param) == ("model_not_found", "model")
    refused(raw.post("/v1/images", json={}), 404, "unknown_url")
    refused(raw.get(URL), 405)


def test_a_kernel_without_models(tmp_path):
    """A daemon that only leases cannot answer, and says how it could."""
    with serving(Kernel(), Address(path=str(tmp_path / "n.sock"))) as listening, client_of(listening) as client:
        assert list(client.models.list()) == []
        with pytest.raises(openai.NotFoundError, match="aios serve --model NAME"):
            client.chat.completions.create(**CHAT)


@pytest.mark.parametrize("declared", [True, False])
@pytest.mark.usefixtures("others_are_served")
def test_a_body_of_100_mb(raw, declared):
    """It is refused at once, by its declared length or as it grows, without being kept in memory."""
    size, piece = 100 * 2**20, b"x" * 2**16
    sent = 0

    def pieces():
        nonlocal sent
        while sent < size:
            sent += len(piece)
            yield piece

    before = _memory()
    headers = {"content-length": str(size)} if declared else {}
    refused(raw.post(URL, content=pieces(), headers=headers), 413, "body_too_large")
    assert _memory() - before < 80 * 2**20


def _memory():
    """Bytes that this process has in memory."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


@pytest.mark.usefixtures("others_are_served")
def test_broken_connections(listening, kernel):
    """Half a head, half a body, no HTTP at all, and a client that leaves: nothing of it stays."""
    halves = [b"POST /v1/chat", head(listening, "content-length: 100") + b'{"model"', b"\x16\x03\x01 hello \r\n\r\n"]
    for content in halves * 20:
        with connect(listening) as sock:
            sock.sendall(content)
    with connect(listening) as sock:
        sock.sendall(b"\x16\x03\x01\x02\r\n\r\n")
        assert sock.recv(100).startswith(b"HTTP/1.1 400")
    assert kernel.status().syscalls == {}


@pytest.mark.usefixtures("others_are_served")
def test_half_open_connections_time_out(listening, monkeypatch):
    """Who never finishes a head or a body is told so, and the connection is closed."""
    monkeypatch.setattr(protocol, "HEAD_SECONDS", 0.1)
    monkeypatch.setattr(body_module, "SILENCE", 0.1)
    for content in (b"POST /v1/chat", head(listening, "content-length: 100") + b'{"model"'):
        with connect(listening) as sock:
            sock.sendall(content)
            answer = b""
            while piece := sock.recv(4096):
                answer += piece
        assert answer.startswith(b"HTTP/1.1 408")


@pytest.mark.usefixtures("others_are_served")
def test_an_endless_head(listening):
    """A head that does not end is refused at a bound."""
    with connect(listening) as sock:
        sock.sendall(b"GET / HTTP/1.1\r\nx: " + b"a" * 70_000)
        assert sock.recv(100).startswith(b"HTTP/1.1 431")


def test_tokens_hosts_and_origins(kernel):
    """On TCP a request shows the token, is meant for this machine, and comes from no browser."""
    with serving(kernel, Address(host="127.0.0.1", port=0)) as listening, raw_client_of(listening) as raw:
        assert raw.get("/v1/models").status_code == 200
        token = listening.token
        for key in ("", "wrong", token[:-1], f"{token}x", f"wrong:{token}"):
            error = refused(raw.get("/v1/models", headers={"authorization": f"Bearer {key or 0}"}), 401)
            assert (error["code"], listening.token_file in error["message"]) == ("invalid_api_key", True)
            assert token not in error["message"]
        for path in ("/health", "/aios/v1/channel", "/nope"):
            refused(raw.post(path, headers={"authorization": "Basic abc"}), 401)
        for host in ("evil.example", "127.0.0.1.evil.example:80", ""):
            refused(raw.get("/v1/models", headers={"host": host}), 403, "wrong_host")
        for host in ("localhost", "127.0.0.1:1", "[::1]:8", "LOCALHOST:5"):
            assert raw.get("/v1/models", headers={"host": host}).status_code == 200
        refused(raw.get("/v1/models", headers={"origin": "http://localhost"}), 403, "wrong_origin")
        refused(raw.get("/v1/models", headers={"sec-fetch-site": "cross-site"}), 403, "wrong_origin")
        with pytest.raises(openai.AuthenticationError):
            client_of(listening, key="wrong", max_retries=0).models.list()


def test_token_files(kernel, tmp_path):
    """A token that somebody names is asked for on a socket too; its file is made for its owner only."""
    file = tmp_path / "secret"
    with serving(kernel, Address(path=str(tmp_path / "t.sock")), token_file=str(file)) as listening:
        assert file.stat().st_mode & 0o777 == 0o600
        assert file.read_text() == listening.token
        with client_of(listening) as client:
            assert len(list(client.models.list())) == 1
        with client_of(listening, key="wrong", max_retries=0) as client, pytest.raises(openai.AuthenticationError):
            client.models.list()


OTHER_USER = """
import socket, sys
sock = socket.socket(socket.AF_UNIX)
sock.connect(sys.argv[1])
sock.sendall(b"GET /v1/models HTTP/1.1\\r\\nhost: x\\r\\n\\r\\n")
print(sock.makefile("rb").read().decode())
"""


@pytest.mark.skipif(os.geteuid() != 0 or not Path("/usr/bin/python3").exists(), reason="only root can act as another")
def test_another_users_socket(kernel):
    """Another user cannot reach the socket; one who does is told whose it is."""
    folder = Path(f"/tmp/aios-{os.getpid()}")  # where others may come: pytest's own folders are closed to them
    path = folder / "deep" / "k.sock"
    interpreter = "/usr/bin/python3"  # one that everybody may run

    def attempt():
        command = [interpreter, "-S", "-c", OTHER_USER, str(path)]
        return subprocess.run(
            command, capture_output=True, text=True, user=65534, group=65534, extra_groups=[], check=False
        )

    try:
        with serving(kernel, Address(path=str(path))) as listening:
            assert path.parent.stat().st_mode & 0o777 == 0o700
            assert path.stat().st_mode & 0o777 == 0o600
            assert "PermissionError" in attempt().stderr
            for opened in (folder, path.parent):
                opened.chmod(0o755)
            path.chmod(0o777)
            answer = attempt()
            assert "HTTP/1.1 403" in answer.stdout, answer.stderr
            assert "belongs to user 0, and you are user 65534" in answer.stdout
            with client_of(listening) as client:
                assert client.chat.completions.create(**CHAT).choices
    finally:
        shutil.rmtree(folder)


def test_refusals_of_the_kernel(tmp_path):
    """What the kernel refuses has OpenAI's status and class: denied, queue full."""

    def check(call, process):
        if process.name == "bad":
            raise AccessDenied("agent 'bad' may not")

    core = ScriptedCore(script, latency=0.5, limiter=FixedLimiter(1))
    kernel = Kernel(llm={"scripted": core}, checks=(check,), max_waiting=1)
    with serving(kernel, Address(path=str(tmp_path / "r.sock"))) as listening:
        with client_of(listening, key="x:bad", max_retries=0) as bad, pytest.raises(openai.PermissionDeniedError):
            bad.chat.completions.create(**CHAT)
        answers = []

        def call():
            with client_of(listening, max_retries=0) as client:
                answers.append(client.chat.completions.with_raw_response.create(**CHAT).status_code)

        threads = [threading.Thread(target=call) for _ in range(2)]
        for thread in threads:
            thread.start()
        wait_until(lambda: sum(queue["waiting"] + queue["running"] for queue in kernel.status().resources) == 2)
        with client_of(listening, max_retries=0) as client, pytest.raises(openai.RateLimitError) as caught:
            client.chat.completions.create(**CHAT)
        assert (caught.value.code, caught.value.response.headers["retry-after"]) == ("queue_full", "1")
        for thread in threads:
            thread.join()
        assert answers == [200, 200]


def test_leaving_frees_the_slot(tmp_path):
    """A client that goes away, waiting, served or in the middle of a stream, leaves nothing behind."""
    slow = ScriptedCore(script, latency=60)
    kernel = Kernel(llm={"scripted": slow})
    with serving(kernel, Address(path=str(tmp_path / "l.sock"))) as listening:
        for stream in (False, True):
            with client_of(listening, max_retries=0, timeout=0.3) as client, pytest.raises(openai.APITimeoutError):
                client.chat.completions.create(**CHAT, stream=stream)
            wait_until(lambda: kernel.running == 0, 5)
        assert slow._jobs == {}


@pytest.fixture
def verbose(tmp_path):
    """A daemon whose model says a lot: more than the buffers of a connection hold."""
    kernel = Kernel(llm={"scripted": ScriptedCore(lambda call: "word " * 20_000)})
    with serving(kernel, Address(path=str(tmp_path / "v.sock")), drain=1) as listening:
        yield kernel, listening


def test_a_slow_reader(verbose):
    """A client that reads next to nothing holds up nobody, keeps no slot, and is not lost either."""
    kernel, listening = verbose
    body = json.dumps({**CHAT, "stream": True}).encode()
    with connect(listening) as sock:
        sock.sendall(head(listening, f"content-length: {len(body)}") + body)
        start = sock.recv(20)
        assert start.startswith(b"HTTP/1.1 200")
        wait_until(lambda: kernel.running == 0)
        with client_of(listening) as client:
            began = time.monotonic()
            assert len(client.chat.completions.create(**CHAT).choices[0].message.content) == 100_000
            assert time.monotonic() - began < 5
        got = start
        while b"[DONE]" not in got[-200:]:
            got += sock.recv(2**16)
        assert got.count(b'"content": "word "') == 20_000


async def test_250_streams(tmp_path):
    """250 streams at once are all answered in full."""
    kernel = Kernel(llm={"scripted": ScriptedCore(lambda call: Reply(text="a b c d e"), latency=0.2)})
    with serving(kernel, Address(path=str(tmp_path / "m.sock"))) as listening:
        limits = httpx2.Limits(max_connections=None)
        transport = httpx2.AsyncHTTPTransport(uds=listening.address.path, limits=limits)
        async with httpx2.AsyncClient(transport=transport, base_url="http://localhost", timeout=60) as client:

            async def one(number):
                headers = {"x-aios-agent": f"agent-{number}"}
                async with client.stream("POST", URL, json={**CHAT, "stream": True}, headers=headers) as response:
                    return response.status_code, [line async for line in response.aiter_lines() if line]

            answers = await asyncio.gather(*(one(number) for number in range(250)))
    assert {status for status, _ in answers} == {200}
    assert {lines[-1] for _, lines in answers} == {"data: [DONE]"}
    assert len([process for process in kernel.processes if process.syscalls == {"llm": 1}]) == 250
