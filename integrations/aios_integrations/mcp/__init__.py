"""MCP both ways: the tools of MCP servers in the kernel's registry, and the kernel's tools served to MCP clients."""

from aios_integrations.mcp.outward import make_server, serve_http, serve_stdio
from aios_integrations.mcp.source import MCPSource, add_mcp_server

__all__ = ["MCPSource", "add_mcp_server", "make_server", "serve_http", "serve_stdio"]
