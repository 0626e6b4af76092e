"""The kernel's tools served to MCP clients, over stdio or streamable HTTP; every call goes through the gate."""

from __future__ import annotations

import fnmatch
import hmac
from collections.abc import Sequence
from importlib import metadata
from typing import TYPE_CHECKING, Any

from aios_integrations.mcp.translate import content_of, listed, wire_names
from aios_kernel.abi import Agent, ToolCall
from aios_kernel.errors import ConfigError, SyscallError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from mcp.server.lowlevel import Server

    from aios_kernel.gate import Gate

__all__ = ["make_server", "serve_http", "serve_stdio"]

LOOPBACK = frozenset({"127.0.0.1", "localhost", "::1"})


def make_server(kernel: Gate, *, tools: Sequence[str] = ("*",), agent: Agent | None = None) -> Server[Any]:
    """Make an MCP server of a kernel's tools, of those whose full names match one of the patterns `tools`.

    Clients' calls are made as `agent`. Tools that lack something here are not listed. A failure is an MCP result marked
    as an error, in words that a model can act on.
    """
    from mcp.server.lowlevel import Server
    from mcp.types import CallToolResult, ListToolsResult, TextContent

    who = agent or Agent(name="mcp", framework="mcp")

    async def ask(name: str, arguments: Any) -> Any:
        async with kernel.syscall(ToolCall(agent=who, name=name, arguments=arguments)) as grant:
            if grant.lease:
                raise ConfigError(
                    "this kernel has no tool manager: Kernel(managers=[ToolManager()]) and `aios serve` have one"
                )
            return (await grant.areply()).data

    async def offered() -> dict[str, dict[str, Any]]:
        rows: list[dict[str, Any]] = await ask("aios/list_tools", {})
        usable = {row["name"]: row for row in rows if "description" in row and not row.get("missing")}
        chosen = [name for name in usable if any(fnmatch.fnmatchcase(name, one) for one in tools)]
        return {wire: usable[name] for wire, name in wire_names(chosen).items()}

    async def on_list_tools(_context: Any, _params: Any) -> ListToolsResult:
        return ListToolsResult(tools=[listed(wire, row) for wire, row in (await offered()).items()])

    async def on_call_tool(_context: Any, params: Any) -> CallToolResult:
        try:
            found = (await offered()).get(params.name)
            if found is None:
                raise ConfigError(f"there is no tool {params.name!r} here")
            return content_of(await ask(found["name"], params.arguments or {}))
        except (SyscallError, ConfigError) as error:
            return CallToolResult(content=[TextContent(type="text", text=str(error))], is_error=True)

    return Server("aios", version=_version(), on_list_tools=on_list_tools, on_call_tool=on_call_tool)


async def serve_stdio(kernel: Gate, *, tools: Sequence[str] = ("*",), agent: Agent | None = None) -> None:
    """Serve one client on this process's standard input and output, until it leaves."""
    from mcp.server.stdio import stdio_server

    server = make_server(kernel, tools=tools, agent=agent)
    async with stdio_server() as (incoming, outgoing):
        await server.run(incoming, outgoing, server.create_initialization_options())


def serve_http(
    kernel: Gate,
    *,
    token: str,
    host: str = "127.0.0.1",
    tools: Sequence[str] = ("*",),
    agent: Agent | None = None,
) -> Any:
    """Make the ASGI application that serves clients at `/mcp`, each of which sends `Authorization: Bearer TOKEN`.

    For this machine alone: hosts and origins of others are refused, so that no web page can reach it.
    """
    if host not in LOOPBACK:
        raise ConfigError(f"MCP is served on this machine alone, not on {host!r}: put a proxy with TLS before it")
    if not token:
        raise ConfigError("MCP over HTTP needs a token: on this machine other users can reach the port too")
    return _guarded(make_server(kernel, tools=tools, agent=agent).streamable_http_app(host=host), token)


def _version() -> str:
    try:
        return metadata.version("aios-adapters")
    except metadata.PackageNotFoundError:  # from a checkout, by PYTHONPATH
        return ""


def _guarded(app: Callable[..., Awaitable[None]], token: str) -> Callable[..., Awaitable[None]]:
    wanted = f"Bearer {token}".encode()

    async def guard(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "http":
            given = next((value for name, value in scope["headers"] if name == b"authorization"), b"")
            if not hmac.compare_digest(given, wanted):
                await send(
                    {"type": "http.response.start", "status": 401, "headers": [(b"www-authenticate", b"Bearer")]}
                )
                await send({"type": "http.response.body", "body": b"a token is needed\n"})
                return
        await app(scope, receive, send)

    return guard
