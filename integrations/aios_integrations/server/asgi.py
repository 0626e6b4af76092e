"""The few words of ASGI that are spoken here."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from typing import Any

from aios_kernel.wire import Problem

__all__ = ["App", "Raw", "Receive", "Scope", "Send", "header", "refuse_unread", "send_json", "send_problem"]

Message = MutableMapping[str, Any]
Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]


LINGER = 2.0  # seconds in which what a refused client still sends is read and dropped


class Raw:
    """Let a route lead to an ASGI callable as it is; a plain function would be taken for Starlette's own kind."""

    def __init__(self, app: App) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self._app(scope, receive, send)


def header(scope: Scope, name: str) -> str:
    """Return a request's header, "" where it has none; the last one counts."""
    wanted = name.lower().encode()
    found = b""
    for key, value in scope["headers"]:
        if key == wanted:
            found = value
    return found.decode("latin-1")


async def send_json(send: Send, status: int, body: Mapping[str, Any], headers: Mapping[str, str] | None = None) -> None:
    """Answer with a JSON body."""
    await _start_json(send, status, content := json.dumps(body).encode(), headers)
    await send({"type": "http.response.body", "body": content})


async def _start_json(send: Send, status: int, content: bytes, headers: Mapping[str, str] | None = None) -> None:
    """Send the head of an answer in JSON."""
    given = {"content-type": "application/json", "content-length": str(len(content)), **(headers or {})}
    coded = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in given.items()]
    await send({"type": "http.response.start", "status": status, "headers": coded})


async def send_problem(send: Send, problem: Problem, headers: Mapping[str, str] | None = None) -> None:
    """Answer with an error in OpenAI's shape."""
    await send_json(send, problem.status, problem.body(), headers)


async def refuse_unread(
    receive: Receive, send: Send, problem: Problem, headers: Mapping[str, str] | None = None
) -> None:
    """Answer before the body has been read, then read and drop what still comes for a moment.

    To close a connection on which something is unread resets it, and the reset may overtake the answer.
    """
    content = json.dumps(problem.body()).encode()
    await _start_json(send, problem.status, content, {**(headers or {}), "connection": "close"})
    await send({"type": "http.response.body", "body": content, "more_body": True})
    with contextlib.suppress(asyncio.TimeoutError):
        await asyncio.wait_for(_dropped(receive), LINGER)
    await send({"type": "http.response.body", "body": b""})


async def _dropped(receive: Receive) -> None:
    while True:
        message = await receive()
        if message["type"] == "http.disconnect" or not message.get("more_body"):
            return
