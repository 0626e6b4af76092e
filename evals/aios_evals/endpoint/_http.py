"""Just enough HTTP/1.1 on an asyncio protocol: keep-alive, Content-Length bodies in, fixed or chunked replies out.

A client that goes away cancels the handler of its request, as inference servers do. The last bytes of a reply leave
only when its handler has finished, so that whoever has the reply finds records and slots settled.
"""

from __future__ import annotations

import asyncio
import contextlib
import http
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass

Headers = Mapping[str, str]


@dataclass(frozen=True)
class HttpRequest:
    """One request; header names are lower case."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes


class Connection(asyncio.Protocol):
    """One client connection: parses requests one after another and is what a handler replies through."""

    def __init__(self, handle: Handler, connections: set[Connection]) -> None:
        self._handle = handle
        self._connections = connections
        self._buffer = bytearray()
        self._transport: asyncio.Transport | None = None
        self._last = b""
        self._close = False
        self.task: asyncio.Task[None] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)  # noqa: S101 - asyncio types it as the base class
        self._transport = transport
        self._connections.add(self)

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        self._connections.discard(self)
        if self.task:
            self.task.cancel()

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        if self.task is None:
            self._advance()

    def send(self, status: int, body: bytes, headers: Headers, promised: int | None = None) -> None:
        """Set the whole reply. `promised` overstates its length, for a truncated one."""
        length = {"content-length": str(len(body) if promised is None else promised)}
        self._last = _head(status, {**headers, **length}) + body

    def start_stream(self, headers: Headers) -> None:
        """Open a reply of unknown length."""
        self._write(_head(200, {**headers, "transfer-encoding": "chunked"}))

    def send_chunk(self, data: bytes) -> None:
        """Send a part of an open reply."""
        self._write(_chunk(data))

    def end_stream(self, data: bytes) -> None:
        """End an open reply, with a last part if there is one."""
        self._last = (_chunk(data) if data else b"") + _chunk(b"")

    def close(self) -> None:
        """Let the connection end with this request."""
        self._close = True

    def abort(self) -> None:
        """Drop the connection and cancel its request."""
        if self._transport:
            self._transport.abort()

    def _write(self, data: bytes) -> None:
        if self._transport:
            self._transport.write(data)

    def _advance(self) -> None:
        """Start serving the next complete request in the buffer, if there is one."""
        try:
            request = _take_request(self._buffer)
        except ValueError:
            self.send(400, b"", {})
            self.close()
            self._finish()
            return
        if request:
            self.task = asyncio.get_running_loop().create_task(self._serve(request))

    async def _serve(self, request: HttpRequest) -> None:
        try:
            await self._handle(request, self)
        finally:
            self.task = None
        if request.headers.get("connection", "").lower() == "close":
            self.close()
        self._finish()
        if not self._close:
            self._advance()

    def _finish(self) -> None:
        self._write(self._last)
        self._last = b""
        if self._close and self._transport:
            self._transport.close()


Handler = Callable[[HttpRequest, Connection], Awaitable[None]]


async def close_all(connections: set[Connection]) -> None:
    """Drop every connection and wait until their requests have ended."""
    tasks = [connection.task for connection in connections if connection.task]
    for connection in list(connections):
        connection.abort()
    for task in tasks:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
    await asyncio.sleep(0)  # lets the transports report that they are closed


def _head(status: int, headers: Headers) -> bytes:
    lines = [f"HTTP/1.1 {status} {_REASONS.get(status, 'Unknown')}"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")


def _chunk(data: bytes) -> bytes:
    return b"%x\r\n%s\r\n" % (len(data), data)


_REASONS = {status.value: status.phrase for status in http.HTTPStatus}


def _take_request(buffer: bytearray) -> HttpRequest | None:
    """Cut one complete request off the buffer; None while it is incomplete, ValueError when it is malformed."""
    end = buffer.find(b"\r\n\r\n")
    if end < 0:
        return None
    first, *lines = buffer[:end].decode("latin-1").split("\r\n")
    method, path, _ = first.split(" ", 2)
    pairs = (line.split(":", 1) for line in lines)
    headers = {name.strip().lower(): value.strip() for name, value in pairs}
    if "transfer-encoding" in headers:
        raise ValueError("only Content-Length bodies are supported")
    start, length = end + 4, int(headers.get("content-length", 0))
    if len(buffer) < start + length:
        return None
    body = bytes(buffer[start : start + length])
    del buffer[: start + length]
    return HttpRequest(method, path, headers, body)
