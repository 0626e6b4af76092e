"""The endpoint on its socket: an event loop in a daemon thread, started and stopped cleanly."""

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import Future
from dataclasses import dataclass, field

from ._http import Connection, close_all
from ._service import Service

BACKLOG = 4096  # connections that may wait for accept, for storms of new clients


@dataclass(kw_only=True, eq=False)
class Endpoint(Service):
    """A simulated OpenAI-compatible server on loopback, run in a daemon thread inside `with`.

    Args:
        port: the port to listen on, 0 for a free one.
        latency: seconds a request holds its slot before its reply begins.
        token_latency: seconds each completion token adds; a stream spreads them over its chunks.
        capacity: requests served at once, None for all.
        mode: what happens to the others: "queue" (they wait, first come first served) or "reject" (429).
        retry_after: seconds named in the Retry-After header of every 429, None for no header.
        rpm: requests per window.
        tpm: tokens per window; a request counts its prompt and its max_tokens.
        window: seconds the limits are for, 60 unless a test is in a hurry.
        reply: scripts the model: given the `Prompt`, return text, tool calls, a `Reply`, or None for the default.
            Runs on the endpoint's thread and must not block.
        reply_tokens: length of a default reply.
        models: what /v1/models lists; any model is served.
    """

    port: int = 0
    _connections: set[Connection] = field(init=False, repr=False, default_factory=set[Connection])
    _thread: threading.Thread | None = field(init=False, repr=False, default=None)
    _loop: asyncio.AbstractEventLoop | None = field(init=False, repr=False, default=None)
    _stopping: asyncio.Event | None = field(init=False, repr=False, default=None)

    @property
    def root_url(self) -> str:
        """The URL without /v1, where /_requests, /_stats, /_reset and /_faults live."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def base_url(self) -> str:
        """The URL a client is given."""
        return f"{self.root_url}/v1"

    def start(self) -> Endpoint:
        """Listen, in a thread of its own. Raises OSError when the port is taken."""
        listening: Future[None] = Future()
        self._thread = threading.Thread(target=self._run, args=(listening,), name="aios-endpoint", daemon=True)
        self._thread.start()
        listening.result()
        return self

    def stop(self) -> None:
        """Drop all connections and end the thread."""
        if self._thread and self._loop and self._stopping:
            self._loop.call_soon_threadsafe(self._stopping.set)
            self._thread.join()
            self._thread = None

    def __enter__(self) -> Endpoint:  # noqa: PYI034 - Self needs a package older Pythons lack
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()

    async def serve(self, listening: Future[None]) -> None:
        """Serve in the running event loop until `stop` or cancellation; `listening` is set once the port is known."""
        self._loop, self._stopping = asyncio.get_running_loop(), asyncio.Event()
        server = await self._loop.create_server(self._connect, "127.0.0.1", self.port, backlog=BACKLOG)
        self.port = server.sockets[0].getsockname()[1]
        listening.set_result(None)
        try:
            await self._stopping.wait()
        finally:
            server.close()
            await close_all(self._connections)

    def _connect(self) -> Connection:
        return Connection(self.handle, self._connections)

    def _run(self, listening: Future[None]) -> None:
        try:
            asyncio.run(self.serve(listening))
        except OSError as error:
            listening.set_exception(error)
