"""`python -m aios_integrations.mcp`: the shipped tools, files and memory as an MCP server."""

from __future__ import annotations

import argparse
import asyncio
import os
import secrets
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from aios_integrations.mcp.outward import serve_http, serve_stdio

if TYPE_CHECKING:
    from aios_kernel.kernel import Kernel

TOKEN = "AIOS_MCP_TOKEN"  # noqa: S105 - the variable's name


def main(arguments: Sequence[str] | None = None) -> int:
    """Serve until the client leaves, or for ever."""
    parser = argparse.ArgumentParser(prog="python -m aios_integrations.mcp", description=__doc__)
    parser.add_argument("--http", type=int, metavar="PORT", help="serve at http://127.0.0.1:PORT/mcp instead of stdio")
    parser.add_argument(
        "--tools", nargs="+", default=["*"], metavar="PATTERN", help="full names to serve, as 'aios/c*'"
    )
    parser.add_argument("--allow", nargs="+", default=[], metavar="HOST", help="hosts that aios/fetch may go to")
    parser.add_argument("--home", type=Path, help="where files and memory are kept; without, there are none")
    options = parser.parse_args(arguments)
    kernel = _kernel(options.home, options.allow)
    try:
        if options.http is None:
            asyncio.run(serve_stdio(kernel, tools=options.tools))
        else:
            _http(kernel, options.http, options.tools)
    except KeyboardInterrupt:
        return 130
    finally:
        kernel.close()
    return 0


def _kernel(home: Path | None, allow: Sequence[str]) -> Kernel:
    from aios_kernel.kernel import Kernel
    from aios_kernel.managers import Manager
    from aios_kernel.memory import MemoryManager
    from aios_kernel.storage import StorageManager
    from aios_kernel.toolkit import ToolManager
    from aios_kernel.toolkit.shipped import shipped_tools
    from aios_kernel.toolkit.web import Fetcher

    managers: list[Manager] = [ToolManager(shipped=shipped_tools(fetcher=Fetcher(allow=tuple(allow))))]
    if home is not None:
        home.mkdir(parents=True, exist_ok=True, mode=0o700)
        managers += [StorageManager(home / "files"), MemoryManager(home / "memory.db")]
    return Kernel(managers=managers)


def _http(kernel: Kernel, port: int, tools: Sequence[str]) -> None:
    import uvicorn

    token = os.environ.get(TOKEN) or secrets.token_urlsafe(32)
    if TOKEN not in os.environ:  # said where people look, and nothing that reads standard output
        sys.stderr.write(f"{TOKEN} is not set; clients send: Authorization: Bearer {token}\n")
    uvicorn.run(serve_http(kernel, token=token, tools=tools), host="127.0.0.1", port=port, log_level="warning")


if __name__ == "__main__":
    raise SystemExit(main())
