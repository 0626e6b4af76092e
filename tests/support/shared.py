"""A kernel served to other processes, in a thread of the tests: the channel alone, on a Unix socket or a TCP port."""

from __future__ import annotations

import contextlib
import threading
from typing import TYPE_CHECKING, Any

import uvicorn

from aios_integrations.server.channel import make_channel
from tests.support.waiting import PATIENCE, wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from aios_integrations.server.channel import Channel
    from aios_kernel import Kernel


class Served:
    """A running server; `where` is what its clients are given."""

    def __init__(self, kernel: Kernel, path: Path | None, *, http: str = "httptools", token: str = "") -> None:
        self.channel: Channel = make_channel(kernel, token=token)
        config = uvicorn.Config(
            self.channel,
            uds=None if path is None else str(path),
            port=0,
            http=http,  # pyright: ignore[reportArgumentType]
            ws="none",
            lifespan="off",
            log_config=None,
            timeout_graceful_shutdown=1,
        )
        self.server = uvicorn.Server(config)
        self._thread = threading.Thread(target=self.server.run, name="server")
        self._thread.start()
        wait_until(lambda: self.server.started or not self._thread.is_alive())
        self.where = f"unix:{path}" if path is not None else f"tcp:127.0.0.1:{self._port()}"

    def _port(self) -> int:
        sockets: Any = self.server.servers[0].sockets
        return sockets[0].getsockname()[1]

    def stop(self) -> None:
        """End it."""
        self.server.should_exit = True
        self._thread.join(PATIENCE)


@contextlib.contextmanager
def served(kernel: Kernel, path: Path | None, **options: Any) -> Iterator[Served]:
    """Serve a kernel while the block runs."""
    server = Served(kernel, path, **options)
    try:
        yield server
    finally:
        server.stop()
