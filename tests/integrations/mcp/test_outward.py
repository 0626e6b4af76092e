"""The kernel's tools served to MCP clients, checked with the official client."""

from __future__ import annotations

import pytest

pytest.importorskip("mcp", reason="the extra mcp is not installed")

from mcp import Client

from aios_integrations.mcp import make_server, serve_http
from aios_kernel.abi import Agent
from aios_kernel.errors import AccessDenied, ConfigError
from aios_kernel.kernel import Kernel
from aios_kernel.toolkit import ToolManager


def said(result):
    """The text of a result."""
    return result.content[0].text


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


def test_http_is_for_this_machine():
    """Another host, or no token, is refused."""
    kernel = Kernel(managers=[ToolManager(shipped=(), load_entry_points=False)])
    with pytest.raises(ConfigError, match="this machine alone"):
        serve_http(kernel, token="x", host="0.0.0.0")
    with pytest.raises(ConfigError, match="needs a token"):
        serve_http(kernel, token="")
    kernel.close()
