"""The daemon: a kernel behind a server, from the lock on its socket to the end of its last call."""

from __future__ import annotations

import asyncio
import contextlib
import os
import secrets
import signal
import socket
import stat
import threading
from collections.abc import Callable, Generator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import uvicorn

from aios_integrations.server.app import make_app
from aios_integrations.server.guard import Rules
from aios_integrations.server.listening import AlreadyRunning, Place
from aios_integrations.server.openai_api import Activity
from aios_integrations.server.protocol import ServerProtocol
from aios_kernel.address import ensure_token
from aios_kernel.errors import ConfigError
from aios_kernel.logs import logger

if TYPE_CHECKING:
    from types import FrameType
    from typing import Any

    from aios_kernel.address import Address
    from aios_kernel.kernel import Kernel

__all__ = ["AlreadyRunning", "Daemon", "Listening"]

log = logger("aios_integrations")
BACKLOG = 4096
GRACE = 1  # seconds in which connections are told of the end, once their calls are over
TICK = 0.02


@dataclass(frozen=True, slots=True)
class Listening:
    """Where a server listens, and the token it asks for ("" for none)."""

    address: Address
    token: str
    token_file: str

    @property
    def base_url(self) -> str:
        """What an OpenAI client is given; over a Unix socket the name does not matter."""
        host = self.address.host
        if not host:
            return "http://localhost/v1"
        reachable = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104 - compared, not bound
        return (
            f"http://[{reachable}]:{self.address.port}/v1"
            if ":" in reachable
            else (f"http://{reachable}:{self.address.port}/v1")
        )


class Daemon:
    """Serve a kernel on an address.

    `with Daemon(address) as daemon` takes the address (raises `AlreadyRunning`), so that a model need only be loaded
    where it can be served; `run(kernel)` answers until a signal or `stop()`, then drains: no new calls, waiting ones
    end with `KernelClosed`, running ones have `drain` seconds. The kernel is closed when `run` returns.
    """

    def __init__(self, address: Address, *, token_file: str | None = None, drain: float = 30.0) -> None:
        self._place = Place(address)
        self._token_file = token_file
        self._drain = drain
        self._server: _Server | None = None

    def __enter__(self) -> Daemon:  # noqa: PYI034 - Self needs a package older Pythons lack
        self._place.take()
        return self

    def __exit__(self, *_: object) -> None:
        self._place.leave()

    def run(self, kernel: Kernel, ready: Callable[[Listening], object] = lambda _: None) -> None:
        """Serve until the end; `ready` is called once connections are answered."""
        sock = self._place.sock
        if sock is None:
            raise RuntimeError("enter the daemon first: `with Daemon(address) as daemon: daemon.run(kernel)`")
        listening = self._listening()
        activity = Activity()
        app = make_app(kernel, _rules(listening), activity)
        config = uvicorn.Config(
            app,
            http=ServerProtocol,
            ws="none",
            loop="asyncio",
            lifespan="off",
            log_config=None,
            access_log=False,
            proxy_headers=False,
            server_header=False,
            backlog=BACKLOG,
            timeout_keep_alive=75,
            timeout_graceful_shutdown=GRACE,
        )
        self._server = server = _Server(config, kernel, activity, self._drain, lambda: ready(listening), self._place)
        try:
            server.run([sock])
        finally:
            kernel.close()

    def stop(self) -> None:
        """Have `run` drain and return; any thread."""
        if self._server is not None:
            self._server.should_exit = True

    def _listening(self) -> Listening:
        address = self._place.address
        file = Path(self._token_file) if self._token_file else address.token_file
        token = ensure_token(address) if not self._token_file else _token_in(file)
        # On a Unix socket the system says who calls; a token is asked for there only when somebody named its file.
        return Listening(address, token if address.host or self._token_file else "", str(file))


def _token_in(file: Path) -> str:
    """The token in a file that somebody named; one that is missing is made, one that others can read is refused."""
    try:
        with contextlib.suppress(FileExistsError):
            descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with open(descriptor, "w", encoding="ascii") as stream:  # noqa: PTH123 - a descriptor is no path
                stream.write(secrets.token_urlsafe(32))
        if stat.S_IMODE(file.stat().st_mode) & 0o077:
            raise ConfigError(f"others can read the token file {file}: chmod 600 {file}")
        token = file.read_text(encoding="ascii").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"the token file {file} cannot be used: {error}") from error
    if not token:
        raise ConfigError(f"the token file {file} is empty: delete it, or write a token into it")
    return token


def _rules(listening: Listening) -> Rules:
    host = listening.address.host
    names = frozenset({host.lower(), socket.gethostname().lower()}) if host else None
    return Rules(token=listening.token, token_file=listening.token_file, hosts=names)


class _Server(uvicorn.Server):
    """Uvicorn, which ends by draining the kernel and leaves with exit code 0 when it was told to stop."""

    def __init__(
        self,
        config: uvicorn.Config,
        kernel: Kernel,
        activity: Activity,
        drain: float,
        ready: Callable[[], object],
        place: Place,
    ) -> None:
        super().__init__(config)
        self._kernel, self._activity, self._drain, self._ready, self._place = kernel, activity, drain, ready, place

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if not self.should_exit:
            self._ready()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        for server in self.servers:
            server.close()
        self._kernel.drain()
        loop = asyncio.get_running_loop()
        end = loop.time() + self._drain
        # Two counters of two packages, looked at in the last seconds only.
        while (self._activity.calls or self._kernel.running) and loop.time() < end:  # noqa: ASYNC110
            await asyncio.sleep(TICK)
        if self._activity.calls or self._kernel.running:
            log.warning("%d calls did not end within %g s and are broken off", self._kernel.running, self._drain)
        for connection in list(self.server_state.connections):
            connection.transport.close()  # what is written still goes out; whoever listens on is told of the end
        await super().shutdown(sockets)

    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None, None, None]:  # pyright: ignore[reportIncompatibleMethodOverride]
        """Answer signals while the server runs; unlike uvicorn's own, do not raise them again afterwards."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        before: dict[int, Any] = {one: signal.signal(one, self.handle_exit) for one in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield
        finally:
            for one, handler in before.items():
                signal.signal(one, handler)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Drain at the first signal, end at once at the second."""
        del frame
        if self.should_exit:
            self._place.leave()
            os._exit(128 + sig)
        self.should_exit = True
