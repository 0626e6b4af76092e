"""The channel's server end: processes elsewhere enter this kernel through one connection each.

A client opens one POST request and leaves its body open; messages go both ways at once, a JSON object per line, until
either side ends the connection. Whatever a client held or waited for is given back at that moment.
"""

from __future__ import annotations

import asyncio
import hmac
import itertools
import os
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

from aios_integrations.server._client import Client, Peer
from aios_integrations.server.asgi import header
from aios_kernel.errors import KernelClosed, KernelRefused
from aios_kernel.protocol import VERSION, Lines, ProtocolError, encode_error, line

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from aios_integrations.server.asgi import Receive, Scope, Send
    from aios_kernel.kernel import Kernel

__all__ = ["Channel", "make_channel"]

HELLO_WITHIN = 10.0  # seconds that a connection may stay silent at its beginning
PING_EVERY = 20.0  # seconds; over TCP a client may be gone without anybody saying so
SILENT_FOR = 60.0  # seconds without an answer after which a client is taken for gone
HEADERS = [(b"content-type", b"application/x-ndjson"), (b"cache-control", b"no-store")]


def make_channel(kernel: Kernel, *, token: str = "") -> Channel:
    """Return the ASGI callable that lets other processes enter `kernel`; with `token`, only those that show it."""
    return Channel(kernel, token)


class Channel:
    """An ASGI callable; `clients` are the processes that are connected. Everything here runs on the server's loop."""

    def __init__(self, kernel: Kernel, token: str = "") -> None:
        self.clients: list[Client] = []
        self._kernel, self._token = kernel, token
        self._numbers = itertools.count(1)
        # Checks and preparations that may block: a model that is being loaded must not hold up the calls of another.
        self._pool = ThreadPoolExecutor(64, thread_name_prefix="aios-admit")

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request: the whole life of one client."""
        if self._token and not _shows(scope, self._token):
            await _refuse(send, 401, KernelRefused("the token is wrong"))
            return
        messages = _messages(receive)
        try:
            hello = await asyncio.wait_for(anext(messages), HELLO_WITHIN)
            peer = _peer_of(hello, scope)
        except (StopAsyncIteration, asyncio.TimeoutError):
            return
        except (ProtocolError, KernelRefused) as error:
            await _refuse(send, 400, error)
            return
        if self._kernel.closed:
            await _refuse(send, 503, KernelClosed("it takes no more calls"))
            return
        await send({"type": "http.response.start", "status": 200, "headers": HEADERS})
        client = Client(self._kernel, peer, next(self._numbers), self._pool)
        client.post({"op": "welcome", "version": VERSION, "pid": os.getpid()})
        self.clients.append(client)
        writer = asyncio.create_task(_write(client, send))
        watch = asyncio.create_task(_watch(client)) if scope.get("client") else None
        try:
            await _read(client, messages, writer)
        finally:
            self.clients.remove(client)
            client.leave()
            for task in (writer, watch):
                if task is not None:
                    task.cancel()
            await _farewell(send)


async def _read(client: Client, messages: AsyncIterator[dict[str, Any]], writer: asyncio.Task[None]) -> None:
    """Handle what the client sends until it leaves, or cannot be written to, or breaks the protocol."""
    reader = asyncio.ensure_future(_handle(client, messages))
    try:
        await asyncio.wait({reader, writer}, return_when=asyncio.FIRST_COMPLETED)
    finally:
        reader.cancel()


async def _handle(client: Client, messages: AsyncIterator[dict[str, Any]]) -> None:
    try:
        async for message in messages:
            client.handle(message)
    except ProtocolError as error:
        client.post({"op": "closing", "error": encode_error(error)})
        await client.flushed()


async def _messages(receive: Receive) -> AsyncIterator[dict[str, Any]]:
    lines = Lines()
    while True:
        event = await receive()
        if event["type"] != "http.request":
            return
        for message in lines.feed(event.get("body", b"")):
            yield message
        if not event.get("more_body"):
            return


async def _write(client: Client, send: Send) -> None:
    """Send what is due; while the client does not read, nothing more than is due piles up."""
    while data := await client.due():
        await send({"type": "http.response.body", "body": data, "more_body": True})
        client.sent()


async def _watch(client: Client) -> None:
    """Take a client that does not answer for gone."""
    while True:
        await asyncio.sleep(PING_EVERY)
        if client.silent_for() > SILENT_FOR:
            client.lost()
            return
        client.post({"op": "ping"})


async def _farewell(send: Send) -> None:
    try:
        closing = line({"op": "closing", "error": encode_error(KernelClosed("the kernel was shut down"))})
        await asyncio.wait_for(send({"type": "http.response.body", "body": closing}), 1.0)
    except (Exception, asyncio.CancelledError):  # noqa: BLE001 - nobody may be left to be told
        return


async def _refuse(send: Send, status: int, error: Exception) -> None:
    refused = error if isinstance(error, (KernelRefused, KernelClosed)) else KernelRefused(str(error))
    await send({"type": "http.response.start", "status": status, "headers": [*HEADERS, (b"connection", b"close")]})
    await send({"type": "http.response.body", "body": line({"op": "closing", "error": encode_error(refused)})})


def _shows(scope: Scope, token: str) -> bool:
    scheme, _, given = header(scope, "authorization").partition(" ")
    return scheme.lower() == "bearer" and hmac.compare_digest(given.strip().encode(), token.encode())


def _peer_of(hello: dict[str, Any], scope: Scope) -> Peer:
    """Who says hello. Raises `KernelRefused` for another version of the protocol."""
    if hello.get("op") != "hello":
        raise ProtocolError("the first message is no hello")
    if hello.get("version") != VERSION:
        raise KernelRefused(
            f"the kernel's server speaks version {VERSION} of the protocol and this program version "
            f"{hello.get('version')}: install the same release of aios-adapters for both, and restart the server"
        )
    address = scope.get("client")
    return Peer(str(hello.get("program") or "python"), int(hello.get("pid") or 0), str(address[0]) if address else "")
