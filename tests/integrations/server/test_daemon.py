"""`aios serve` as a process of its own: ready line, one daemon per address, signals, drain."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import openai
import pytest

from aios_evals.endpoint import Endpoint
from aios_integrations.server import AlreadyRunning, Daemon
from aios_kernel.address import Address, parse
from aios_kernel.cores.scripted import ScriptedCore
from aios_kernel.errors import ConfigError
from aios_kernel.kernel import Kernel
from aios_kernel.scheduling import FixedLimiter
from tests.integrations.server.support import client_of, script, serving
from tests.support.waiting import wait_until

CHAT = {"model": "gpt", "messages": [{"role": "user", "content": "hi"}]}
PATIENCE = 60


@contextlib.contextmanager
def process(*arguments) -> Iterator[Any]:
    """A daemon in its own process; what is left of it at the end is killed."""
    command = [sys.executable, "-m", "aios_adapters", "serve", *arguments]
    started = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        yield started
    finally:
        started.kill()
        started.communicate()


def ready(daemon):
    """Wait for the ready line; return the address it names."""
    line = daemon.stdout.readline()
    match = re.match(r"aios: ready on (\S+)", line)
    assert match, line + daemon.stderr.read()
    return parse(match[1])


def client(address, token="any"):
    transport = httpx2.HTTPTransport(uds=address.path or None)
    url = f"http://{address.host}:{address.port}/v1" if address.host else "http://localhost/v1"
    http = openai.DefaultHttpxClient(transport=transport)
    return openai.OpenAI(base_url=url, api_key=token, http_client=http, max_retries=0, timeout=PATIENCE)


@pytest.fixture
def endpoint():
    with Endpoint(latency=0.5) as endpoint:
        yield endpoint


@pytest.fixture
def served(endpoint):
    return "--model", f"gpt=openai:{endpoint.base_url}"


def test_default_socket_and_sigterm(served, endpoint, tmp_path):
    """It listens in the user's runtime folder; SIGTERM lets the running call end, and the exit code is 0."""
    with process(*served, "--policy", "rr") as daemon:
        address = ready(daemon)
        path = Path(address.path)
        assert path == tmp_path / "aios-adapters" / "kernel.sock"
        assert path.parent.stat().st_mode & 0o777 == 0o700
        assert address.token_file.stat().st_mode & 0o777 == 0o600
        said = daemon.stdout.readline() + daemon.stdout.readline()
        assert f"AIOS_KERNEL={address}" in said
        assert "http://localhost/v1" in said
        replies = []
        with client(address, "x:one") as c:
            thread = threading.Thread(target=lambda: replies.append(c.chat.completions.create(**CHAT)))
            thread.start()
            wait_until(lambda: endpoint.stats()["in_flight"] == 1)
            daemon.send_signal(signal.SIGTERM)
            thread.join(PATIENCE)
        assert replies[0].choices[0].message.content
        assert daemon.wait(PATIENCE) == 0
        assert not path.exists()
        assert daemon.stderr.read() == ""


def test_tcp_needs_the_token(served):
    """On TCP the ready line names the port, and the file that has the token."""
    with process(*served, "--tcp", "127.0.0.1:0") as daemon:
        address = ready(daemon)
        assert address.port > 0
        token = address.token_file.read_text()
        with client(address, token) as c:
            assert [model.id for model in c.models.list()] == ["gpt"]
        with client(address, "wrong") as c, pytest.raises(openai.AuthenticationError, match="token"):
            c.models.list()
        said = daemon.stdout.readline() + daemon.stdout.readline()
        assert str(address.token_file) in said
        assert token not in said
        daemon.send_signal(signal.SIGINT)
        assert daemon.wait(PATIENCE) == 0


def test_one_daemon_per_socket(served, tmp_path):
    """A second daemon fails at once with what to do; of several started together one comes up."""
    path = str(tmp_path / "one.sock")
    with contextlib.ExitStack() as stack:
        several = [stack.enter_context(process(*served, "--socket", path)) for _ in range(3)]
        wait_until(lambda: sum(one.poll() is not None for one in several) == 2, PATIENCE)
        (survivor,) = [one for one in several if one.poll() is None]
        assert ready(survivor).path == path
        for loser in several:
            if loser is not survivor:
                assert loser.returncode == 1
                message = loser.stderr.read()
                assert f"already running on unix:{path} (process {survivor.pid})" in message
                assert f"AIOS_KERNEL=unix:{path}" in message
        with client(Address(path=path)) as c:
            assert c.chat.completions.create(**CHAT).choices


def test_a_stale_socket_is_taken_over(served, tmp_path):
    """What a killed daemon leaves is no obstacle."""
    path = str(tmp_path / "stale.sock")
    with process(*served, "--socket", path) as daemon:
        ready(daemon)
        daemon.kill()
        daemon.wait(PATIENCE)
        assert os.path.exists(path)  # noqa: PTH110
    with process(*served, "--socket", path) as daemon, client(ready(daemon)) as c:
        assert c.models.list().data


def test_a_second_signal_ends_at_once(endpoint, tmp_path):
    """Who does not want to wait for running calls need not."""
    endpoint.latency = 300
    model = f"gpt=openai:{endpoint.base_url}"
    with process("--model", model, "--socket", str(tmp_path / "s.sock"), "--drain", "300") as daemon:
        address = ready(daemon)
        failures = []

        def call():
            with client(address) as c:
                try:
                    c.chat.completions.create(**CHAT)
                except openai.APIConnectionError as error:
                    failures.append(error)

        thread = threading.Thread(target=call)
        thread.start()
        wait_until(lambda: endpoint.stats()["in_flight"] == 1)
        daemon.send_signal(signal.SIGTERM)
        with pytest.raises(subprocess.TimeoutExpired):
            daemon.wait(1)
        daemon.send_signal(signal.SIGTERM)
        assert daemon.wait(PATIENCE) == 128 + signal.SIGTERM
        thread.join(PATIENCE)
        assert len(failures) == 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--policy", "rrr"], "Did you mean 'rr'"),
        (["--tcp", "nowhere"], "is no address of a kernel"),
        (["--limits", "llm=3"], "write RESOURCE:KEY=N"),
        (["--model", "openai:http://x/v1"], "give that server's model a name"),
        (["--socket", "/proc/nothing/k.sock"], "cannot listen on"),
        (["--token-file", "/dev/null"], "token file"),
    ],
)
def test_wrong_use(arguments, message, capsys):
    """Each impossible option is one line that says what to do, and exit code 2."""
    from aios_adapters.cli import main

    assert main(["serve", *arguments]) == 2
    assert message in capsys.readouterr().err


def test_only_its_own_files_are_removed(tmp_path):
    """A file that is no socket, and a socket that somebody else listens on, are left alone."""
    file = tmp_path / "k.sock"
    file.write_text("mine")
    with pytest.raises(ConfigError, match="no socket"), Daemon(Address(path=str(file))):
        pass
    assert file.read_text() == "mine"
    other = tmp_path / "other.sock"
    with socket.socket(socket.AF_UNIX) as sock:
        sock.bind(str(other))
        sock.listen()
        with pytest.raises(AlreadyRunning), Daemon(Address(path=str(other))):
            pass
        assert other.exists()


def test_a_port_in_use():
    """A port that something listens on already is said to be."""
    with socket.create_server(("127.0.0.1", 0)) as sock:
        address = Address(host="127.0.0.1", port=sock.getsockname()[1])
        with pytest.raises(AlreadyRunning, match="another port"), Daemon(address):
            pass


def test_drain(tmp_path):
    """At the end running calls have their replies, waiting ones a 503, and new ones nobody to talk to."""
    kernel = Kernel(llm={"gpt": ScriptedCore(script, latency=0.5, limiter=FixedLimiter(1))})
    answers = []
    with Daemon(Address(path=str(tmp_path / "d.sock")), drain=10) as daemon:
        started = threading.Event()
        found = []
        thread = threading.Thread(target=lambda: daemon.run(kernel, lambda one: (found.append(one), started.set())))
        thread.start()
        assert started.wait(PATIENCE)

        def call(stream):
            with client_of(found[0], max_retries=0) as c:
                try:
                    reply = c.chat.completions.create(**CHAT, stream=stream)
                    answers.append([*reply][-1].choices[0].finish_reason if stream else 200)
                except openai.APIStatusError as error:
                    answers.append((error.status_code, error.code))

        callers = []
        for stream in (True, False, False):
            callers.append(threading.Thread(target=call, args=(stream,)))
            callers[-1].start()
            wait_until(lambda: _open(kernel) == len(callers))
        daemon.stop()
        for caller in callers:
            caller.join(PATIENCE)
        thread.join(PATIENCE)
        assert not thread.is_alive()
        with socket.socket(socket.AF_UNIX) as sock:
            assert sock.connect_ex(found[0].address.path) != 0
    assert sorted(map(str, answers)) == sorted(map(str, ["stop", (503, "kernel_closed"), (503, "kernel_closed")]))


def test_drain_is_bounded(tmp_path):
    """A call that does not end is broken off."""
    kernel = Kernel(llm={"gpt": ScriptedCore(script, latency=300)})
    failures = []

    def call(listening):
        with client_of(listening, max_retries=0) as c:
            try:
                c.chat.completions.create(**CHAT)
            except openai.APIError as error:
                failures.append(error)

    with serving(kernel, Address(path=str(tmp_path / "d.sock")), drain=0.2) as listening:
        thread = threading.Thread(target=call, args=(listening,))
        thread.start()
        wait_until(lambda: kernel.running == 1)
    thread.join(PATIENCE)
    assert len(failures) == 1


def _open(kernel):
    return sum(queue["waiting"] + queue["running"] for queue in kernel.status().resources)
