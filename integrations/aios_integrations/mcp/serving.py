"""What `aios mcp` runs: a kernel's tools served until the client leaves, over stdio, or until a signal comes, over HTTP."""

from __future__ import annotations

import asyncio
import signal
import socket
import sys
import threading
from typing import TYPE_CHECKING

import mcp  # noqa: F401  # pyright: ignore[reportUnusedImport] - whoever loads this hears at once that the extra is missing
import uvicorn

from aios_integrations.mcp.outward import serve_http, serve_stdio
from aios_kernel.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from aios_kernel.abi import Agent
    from aios_kernel.gate import Gate

__all__ = ["serve"]

HOST = "127.0.0.1"


def serve(
    kernel: Gate,
    *,
    tools: Sequence[str],
    agent: Agent,
    port: int | None = None,
    token: str = "",
    ready: Callable[[str], None] = lambda _url: None,
) -> None:
    """Serve the tools that match a pattern to one client on standard input and output, or to those of a port.

    `ready` is told the URL. Port 0 is any that is free. Raises `ConfigError` for a port that cannot be had.
    """
    signal.signal(signal.SIGTERM, _end)
    if port is None:
        _until_done(lambda: asyncio.run(serve_stdio(kernel, tools=tools, agent=agent)))
        return
    app = serve_http(kernel, token=token, tools=tools, agent=agent)
    try:
        listening = socket.create_server((HOST, port))
    except (OSError, OverflowError) as error:
        raise ConfigError(f"{HOST}:{port} cannot be listened on ({error}): choose another port, or 0 for any") from None
    with listening:
        server = uvicorn.Server(uvicorn.Config(app, log_level="warning", timeout_graceful_shutdown=5))
        ready(f"http://{HOST}:{listening.getsockname()[1]}/mcp")
        server.run(sockets=[listening])  # ends by a signal, and raises it once more for whoever handled it before


def _end(*_: object) -> None:
    sys.exit(0)


def _until_done(work: Callable[[], None]) -> None:
    """Do it in a thread that nothing waits for: where it reads standard input, no signal would end it in this one."""
    failed: list[BaseException] = []

    def do() -> None:
        try:
            work()
        except BaseException as error:  # noqa: BLE001 - raised below
            failed.append(error)

    thread = threading.Thread(target=do, name="aios-mcp", daemon=True)  # so are those that it starts
    thread.start()
    thread.join()
    if failed:
        raise failed[0]
