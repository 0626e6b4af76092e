"""The tools of an MCP server, here one that AG2 starts as a process, are tools like any other."""

from __future__ import annotations

import contextlib
import sys

import pytest
from ag2.tools.toolkits import MCPStdioServerConfig, MCPToolkit

from aios_kernel.abi import ToolCall
from aios_kernel.errors import AccessDenied
from aios_kernel.kernel import Kernel
from tests.adapters.ag2.programs import agent, config
from tests.support.columns import DENIAL, TOOLS

SERVER = '''
from mcp.server.mcpserver import MCPServer

server = MCPServer("shop")


@server.tool()
def weigh(what: str) -> str:
    """Weigh a thing."""
    return f"{what} weighs 450 g"


server.run()
'''


@pytest.mark.parametrize("denied", [False, True])
@pytest.mark.shows(TOOLS, DENIAL)
async def test_mcp(denied, endpoint, enabled, tmp_path):
    """A call is one syscall with name and arguments; refused, it does not reach the server, and the model reads why."""
    (tmp_path / "server.py").write_text(SERVER)
    calls = []

    def check(call, process):
        if isinstance(call, ToolCall):
            calls.append((process.name, call.name, call.arguments))
            if denied:
                raise AccessDenied(f"{process.name} may not use {call.name}")

    with contextlib.closing(Kernel(checks=(check,))) as kernel:
        enabled(kernel=kernel)
        tools = MCPToolkit(MCPStdioServerConfig(command=sys.executable, args=[str(tmp_path / "server.py")]))
        assert (await agent(config(endpoint.base_url), tools=[tools]).ask("weigh")).body == "all done"
        (told,) = [m["content"] for m in endpoint.requests[-1].body["messages"] if m["role"] == "tool"]
    assert ("alice may not use weigh" in str(told), "apple 0 weighs 450 g" in str(told)) == (denied, not denied)
    assert calls == [("alice", "weigh", {"what": "apple 0"})]
