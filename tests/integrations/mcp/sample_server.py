"""An MCP server on the official SDK, run as a program by the tests: `python sample_server.py [PORT]`."""

from __future__ import annotations

import os
import sys
import time

import anyio
from mcp.server.mcpserver import MCPServer
from mcp.server.mcpserver.exceptions import ToolError
from mcp.types import ImageContent, ToolAnnotations

server = MCPServer("sample")


@server.tool(annotations=ToolAnnotations(read_only_hint=True))
def add(a: int, b: int) -> int:
    """Add two numbers."""
    return a + b


@server.tool(name="weird name!")
def weird() -> str:
    """Have a name that is no name of the registry."""
    return "fine"


@server.tool()
def fail(why: str) -> str:
    """Fail."""
    raise ToolError(why)


@server.tool()
def die() -> str:
    """End the whole server."""
    os._exit(7)


@server.tool()
async def wait(seconds: float) -> str:
    """Wait."""
    await anyio.sleep(seconds)
    return "waited"


@server.tool()
def hang() -> str:
    """Block the server."""
    time.sleep(600)
    return ""


@server.tool()
def noisy() -> str:
    """Write where nobody should."""
    sys.stderr.write("NOISE\n")
    return "wrote"


@server.tool()
def picture() -> ImageContent:
    """Return something that is no text."""
    return ImageContent(type="image", data="aGk=", mime_type="image/png")


@server.tool()
def secret() -> str:
    """Say what the server sees of its parent's environment."""
    return os.environ.get("PLANTED_KEY", "nothing") + os.environ.get("GIVEN", "")


if __name__ == "__main__":
    if len(sys.argv) > 1:
        server.run("streamable-http", port=int(sys.argv[1]))
    else:
        server.run("stdio")
