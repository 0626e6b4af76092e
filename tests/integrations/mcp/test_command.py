"""`aios mcp` as a program, checked with the official client."""

from __future__ import annotations

import contextlib
import os
import queue
import signal
import subprocess
import sys
import threading
from typing import Any

import pytest

pytest.importorskip("mcp", reason="the extra mcp is not installed")

import httpx2
from mcp import Client, StdioServerParameters
from mcp.client.streamable_http import streamable_http_client

from aios_integrations.mcp import add_mcp_server
from aios_kernel.access import Pending
from aios_kernel.kernel import Kernel
from aios_kernel.memory import MemoryManager
from aios_kernel.toolkit import ToolManager
from tests.integrations.mcp.test_source import ask, free_port
from tests.support.waiting import PATIENCE, wait_until

PATHS = os.pathsep.join(sys.path)  # with the package's metadata, where it is not installed
AIOS = [sys.executable, "-m", "aios_adapters"]
POLICY = """
default = "allow"
[[rules]]
who = "desk"
do = "tool.run"
to = "tool:aios/remember"
effect = "deny"
"""


@pytest.fixture
def env(tmp_path, monkeypatch):
    """What the program sees: nothing of this machine's kernels, approvals or tokens."""
    for name in ("AIOS_KERNEL", "AIOS_MCP_TOKEN", "AIOS_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    return {**os.environ, "PYTHONPATH": PATHS, "HOME": str(tmp_path), "XDG_RUNTIME_DIR": str(tmp_path)}


def stdio(env, *arguments):
    """The official client, over the program's standard input and output."""
    return Client(StdioServerParameters(command=AIOS[0], args=[*AIOS[1:], "mcp", *arguments], env=env))


@contextlib.contextmanager
def running(env, *arguments):
    """The program, and what it says on stderr, line by line; killed if it is still there at the end."""
    process: Any = subprocess.Popen(
        [*AIOS, *arguments], env=env, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    said = queue.Queue()
    reader = threading.Thread(target=lambda: [said.put(line) for line in process.stderr])
    reader.start()
    try:
        yield process, lambda: said.get(timeout=PATIENCE)
    finally:
        process.kill()
        process.communicate()
        reader.join()


def run(env, *arguments):
    """The program, to its end."""
    return subprocess.run([*AIOS, *arguments], env=env, capture_output=True, text=True, check=False)


def said(result):
    """The text of a result."""
    return result.content[0].text


async def test_over_stdio(env):
    """The official client lists the tools and calls them; what is wrong is said in the result."""
    async with stdio(env) as client:
        tools = {tool.name: tool for tool in (await client.list_tools()).tools}
        good = await client.call_tool("aios_calculator", {"expression": "6 * 7"})
        wrong = await client.call_tool("aios_calculator", {"expresion": "6 * 7"})
        none = await client.call_tool("aios_nothing", {})
        info = client.server_info
    assert info is not None
    assert info.name == "aios"
    assert info.version
    assert tools["aios_calculator"].input_schema["required"] == ["expression"]
    assert "aios_fetch" not in tools  # nothing is allowed to it, so it cannot run
    assert (said(good), good.is_error, good.structured_content) == ("42", False, {"result": "42"})
    assert wrong.is_error
    assert "did you mean 'expression'?" in said(wrong)
    assert none.is_error


async def test_tools_are_chosen_and_hosts_allowed(env):
    """Patterns choose by full names; with a host to go to, the fetch is there."""
    async with stdio(env, "--tools", "aios/c*", "aios/fetch", "--allow", "*.example.org") as client:
        assert {tool.name for tool in (await client.list_tools()).tools} == {"aios_calculator", "aios_fetch"}
        refused = await client.call_tool("aios_fetch", {"url": "https://example.com/"})
        assert refused.is_error
        assert "*.example.org" in said(refused)


async def test_memory_is_the_agents(env, tmp_path):
    """With a folder there are files and memory, which outlive the program and belong to the agent that was named."""
    folder = tmp_path / "data"
    async with stdio(env, "--data", str(folder), "--agent", "desk") as client:
        assert not (await client.call_tool("aios_remember", {"text": "The deploy key expires on Friday."})).is_error
    manager = MemoryManager(folder / "memory.db")
    assert ["Friday" in line for line in manager.export("desk")] == [True]
    assert list(manager.export("mcp")) == []
    manager.close()


async def test_an_access_policy_holds(env, tmp_path):
    """What the policy denies to the agent is an error result that says so."""
    policy = tmp_path / "policy.toml"
    policy.write_text(POLICY)
    arguments = ("--data", str(tmp_path / "data"), "--agent", "desk", "--access", str(policy))
    async with stdio(env, *arguments, "--audit", str(tmp_path / "audit.jsonl")) as client:
        refused = await client.call_tool("aios_remember", {"text": "x"})
        allowed = await client.call_tool("aios_calculator", {"expression": "1 + 1"})
    assert refused.is_error
    assert "desk" in said(refused)
    assert said(allowed) == "2"
    assert "aios/remember" in (tmp_path / "audit.jsonl").read_text()


async def test_approvals_are_asked_for_in_the_queue(env, tmp_path):
    """A person decides elsewhere: standard input is the client's."""
    policy = tmp_path / "policy.toml"
    policy.write_text(POLICY.replace('"deny"', '"ask"'))
    env["AIOS_APPROVALS"] = str(tmp_path / "approvals.db")
    waiting = Pending(env["AIOS_APPROVALS"])

    def decide():
        wait_until(waiting.listed)
        assert run(env, "approvals", "allow", waiting.listed()[0]["id"]).returncode == 0

    person = threading.Thread(target=decide)
    person.start()
    arguments = ("--data", str(tmp_path / "data"), "--agent", "desk", "--access", str(policy))
    async with stdio(env, *arguments) as client:
        assert not (await client.call_tool("aios_remember", {"text": "x"})).is_error
    person.join()


async def test_over_http(env):
    """Streamable HTTP needs the token and a host of this machine; another kernel may use it as a source of tools."""
    with running({**env, "AIOS_MCP_TOKEN": "let-me-in"}, "mcp", "--http", "0") as (process, line):
        url = line().split()[-1]
        bearer = {"Authorization": "Bearer let-me-in"}

        def asked(**headers):
            return httpx2.post(url, json={}, headers=headers, timeout=PATIENCE).status_code

        assert [asked(), asked(Authorization="Bearer wrong")] == [401, 401]
        assert asked(**bearer, Host="evil.example") in {403, 421}
        assert asked(**bearer, Origin="https://evil.example") == 403
        async with (
            httpx2.AsyncClient(headers=bearer) as http,
            Client(streamable_http_client(url, http_client=http)) as client,
        ):
            assert said(await client.call_tool("aios_calculator", {"expression": "6 * 7"})) == "42"
        kernel = Kernel(managers=[manager := ToolManager(shipped=(), load_entry_points=False)])
        add_mcp_server(manager, "far", url=url, headers=bearer)
        assert ask(kernel, "far/aios_calculator", expression="2 + 2") == "4"
        kernel.close()
        process.send_signal(signal.SIGTERM)
        assert process.wait(PATIENCE) == 0


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 0), (signal.SIGINT, 130)])
def test_http_without_a_token(env, number, code):
    """One is made and said on stderr, where people look; both signals end it, and stdout has nothing."""
    with running(env, "mcp", "--http", "0") as (process, line):
        url, token = line().split()[-1], line().split()[-1]
        assert httpx2.post(url, json={}, headers={"Authorization": f"Bearer {token}"}).status_code != 401
        process.send_signal(number)
        assert process.wait(PATIENCE) == code
        assert process.stdout.read() == ""


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 0), (signal.SIGINT, 130)])
def test_stdio_ends_by_a_signal(env, number, code):
    """While it waits for its client, too."""
    with running(env, "mcp") as (process, _):
        process.stdin.write('{"jsonrpc":"2.0","id":1,"method":"ping"}\n')
        process.stdin.flush()
        assert process.stdout.readline()
        process.send_signal(number)
        assert process.wait(PATIENCE) == code


async def test_a_shared_kernel(env, tmp_path):
    """The tools are those of the daemon, which sees the calls as the agent's; without a daemon it says what to do."""
    address = f"unix:{tmp_path / 'k.sock'}"
    gone = run(env, "mcp", "--kernel", address)
    assert gone.returncode == 1
    assert str(tmp_path / "k.sock") in gone.stderr
    assert "Traceback" not in gone.stderr
    data = str(tmp_path / "data")
    with running(env, "serve", "--socket", str(tmp_path / "k.sock"), "--data", data) as (process, _):
        assert "ready" in process.stdout.readline()
        async with stdio({**env, "AIOS_KERNEL": address}, "--agent", "desk") as client:
            assert not (await client.call_tool("aios_remember", {"text": "shared"})).is_error
            listed = run(env, "ps", "--kernel", address)
        assert " desk " in listed.stdout
        process.send_signal(signal.SIGTERM)
        process.wait(PATIENCE)
    manager = MemoryManager(tmp_path / "data" / "memory.db")
    assert ["shared" in line for line in manager.export("desk")] == [True]
    manager.close()


def test_wrong_use(env, tmp_path):
    """A line that says what to do, and exit code 2."""
    taken = free_port()
    with running(env, "mcp", "--http", str(taken)) as (_, line):
        line()
        for arguments, expected in (
            (("--http", str(taken)), "choose another port"),
            (("--http", "70000"), "choose another port"),
            (("--kernel", "auto", "--data", "x"), "--data: the kernel at auto"),
            (("--kernel", "nowhere"), "is no address of a kernel"),
            (("--agent", ""), "--agent needs a name"),
            (("--audit", str(tmp_path / "a")), "access"),
        ):
            done = run(env, "mcp", *arguments)
            assert (done.returncode, done.stdout) == (2, ""), arguments
            assert expected in done.stderr
            assert done.stderr.startswith("aios: ")


def test_without_the_sdk(env):
    """The one line says what to install."""
    code = "import sys; sys.modules['mcp'] = None; from aios_adapters.cli import main; sys.exit(main(['mcp']))"
    done = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert done.stderr.startswith("aios: the MCP server is not installed: pip install 'aios-adapters[mcp]'")
