"""The kernel's tools served to MCP clients, checked with the official client."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

pytest.importorskip("mcp", reason="the extra mcp is not installed")

import httpx2
from mcp import Client, StdioServerParameters
from mcp.client.streamable_http import streamable_http_client

from aios_integrations.mcp import add_mcp_server, make_server, serve_http
from aios_kernel.abi import Agent
from aios_kernel.errors import AccessDenied, ConfigError
from aios_kernel.kernel import Kernel
from aios_kernel.toolkit import ToolManager
from tests.integrations.mcp.test_source import ask, free_port
from tests.support.waiting import wait_until

PATHS = os.pathsep.join(sys.path)  # with the package's metadata, where it is not installed
PROGRAM = [sys.executable, "-m", "aios_integrations.mcp"]


def said(result):
    """The text of a result."""
    return result.content[0].text


def test_from_a_program():
    """`python -m aios_integrations.mcp` over stdio: the official client lists the tools and calls them."""

    async def main():
        parameters = StdioServerParameters(command=PROGRAM[0], args=PROGRAM[1:], env={"PYTHONPATH": PATHS})
        async with Client(parameters) as client:
            tools = {tool.name: tool for tool in (await client.list_tools()).tools}
            good = await client.call_tool("aios_calculator", {"expression": "6 * 7"})
            wrong = await client.call_tool("aios_calculator", {"expresion": "6 * 7"})
            none = await client.call_tool("aios_nothing", {})
            return client.server_info, tools, good, wrong, none

    import anyio

    info, tools, good, wrong, none = anyio.run(main)
    assert info is not None
    assert info.name == "aios"
    assert tools["aios_calculator"].input_schema["required"] == ["expression"]
    assert "aios_fetch" not in tools  # nothing is allowed to it, so it cannot run
    assert (said(good), good.is_error, good.structured_content) == ("42", False, {"result": "42"})
    assert wrong.is_error
    assert "did you mean 'expression'?" in said(wrong)
    assert none.is_error


async def test_over_the_gate():
    """Calls are made as the given agent, what a check refuses is an error result, and patterns choose the tools."""
    seen = []

    def check(call, process):
        seen.append((process.name, call.name))
        if call.name == "x/secret":
            raise AccessDenied("no, not you")

    manager = ToolManager(shipped=(), load_entry_points=False)
    for name, run in (("x/open", lambda: [1, 2]), ("x/secret", lambda: "s"), ("y/other", lambda: "o")):
        manager.add(run, name=name, parameters={"type": "object"})
    kernel = Kernel(managers=[manager], checks=(check,))
    server = make_server(kernel, tools=["x/*"], agent=Agent(name="desk"))
    async with Client(server) as client:
        assert [tool.name for tool in (await client.list_tools()).tools] == ["x_open", "x_secret"]
        assert (await client.call_tool("x_open", {})).structured_content == {"result": [1, 2]}
        refused = await client.call_tool("x_secret", {})
        assert (refused.is_error, said(refused)) == (True, "no, not you")
        assert (await client.call_tool("y_other", {})).is_error
    assert {who for who, _ in seen} == {"desk"}
    assert "y/other" not in {name for _, name in seen}
    kernel.close()


async def test_over_http(tmp_path):
    """Streamable HTTP needs the token and a host of this machine; files are kept where `--home` says."""
    port = free_port()
    command = [*PROGRAM, "--http", str(port), "--home", str(tmp_path / "home")]
    env = {**os.environ, "PYTHONPATH": PATHS, "AIOS_MCP_TOKEN": "let-me-in"}
    process = subprocess.Popen(command, env=env, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL)  # noqa: ASYNC220
    url = f"http://127.0.0.1:{port}/mcp"

    def asked(**headers):
        try:
            return httpx2.post(url, json={}, headers=headers, timeout=5).status_code
        except httpx2.TransportError:
            return None

    try:
        wait_until(lambda: asked() is not None)
        assert [asked(), asked(Authorization="Bearer wrong")] == [401, 401]
        assert asked(Authorization="Bearer let-me-in", Host="evil.example") in {403, 421}
        assert asked(Authorization="Bearer let-me-in", Origin="https://evil.example") == 403
        async with (
            httpx2.AsyncClient(headers={"Authorization": "Bearer let-me-in"}) as http,
            Client(streamable_http_client(url, http_client=http)) as client,
        ):
            await client.call_tool("aios_write_file", {"path": "a.txt", "content": "kept"})
            assert said(await client.call_tool("aios_read_file", {"path": "a.txt"})) == "kept"
        kernel = Kernel(managers=[manager := ToolManager(shipped=(), load_entry_points=False)])
        add_mcp_server(manager, "far", url=url, headers={"Authorization": "Bearer let-me-in"})
        assert ask(kernel, "far/aios_read_file", path="a.txt") == "kept"
        kernel.close()
    finally:
        process.kill()
        process.wait()


def test_http_is_for_this_machine():
    """Another host, or no token, is refused."""
    kernel = Kernel(managers=[ToolManager(shipped=(), load_entry_points=False)])
    with pytest.raises(ConfigError, match="this machine alone"):
        serve_http(kernel, token="x", host="0.0.0.0")
    with pytest.raises(ConfigError, match="needs a token"):
        serve_http(kernel, token="")
    kernel.close()
