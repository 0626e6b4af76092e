"""The kernel's events to one reader far away: bounded, so that a slow reader loses its feed and nobody else anything."""

from __future__ import annotations

import asyncio
import json
from collections import deque
from typing import TYPE_CHECKING

from aios_kernel.protocol import encode_event

if TYPE_CHECKING:
    from aios_integrations.server.asgi import Receive, Scope, Send
    from aios_kernel.events import Event
    from aios_kernel.kernel import Kernel

__all__ = ["MOST_BEHIND", "Events"]

MOST_BEHIND = 2_000  # events that wait for a reader before it is dropped
AT_ONCE = 200  # events in one piece
KEEP_ALIVE = 15.0  # seconds without an event after which a comment shows that the connection lives
HEAD = {"content-type": "text/event-stream", "cache-control": "no-store"}


class _Feed:
    """One subscriber. The bus calls it in any thread: it takes the event down, wakes the reader, and never waits."""

    def __init__(self, kernel: Kernel) -> None:
        self._loop = asyncio.get_running_loop()
        self._events: deque[Event] = deque()
        self._some = asyncio.Event()
        self._asleep = True
        self.dropped = False
        self.end = kernel.bus.subscribe(self)

    def __call__(self, event: Event) -> None:
        if self.dropped:
            return
        if len(self._events) >= MOST_BEHIND:
            self.dropped = True
            self._events.clear()
            self.end()
        else:
            self._events.append(event)
        if self._asleep:  # one wake-up for however many come before it has run
            self._asleep = False
            try:
                self._loop.call_soon_threadsafe(self._some.set)
            except RuntimeError:  # the server's loop has ended
                self.end()

    async def next(self) -> list[Event]:
        """Wait for events; none where nothing has happened for a while, or where this reader has been dropped."""
        if not self._events and not self.dropped:
            try:
                await asyncio.wait_for(self._some.wait(), KEEP_ALIVE)
            except TimeoutError:
                return []
            except asyncio.TimeoutError:
                return []
        self._some.clear()
        self._asleep = True
        return [self._events.popleft() for _ in range(min(AT_ONCE, len(self._events)))]


class Events:
    """`GET /aios/v1/events`: server-sent events, one per change of a syscall or an agent."""

    def __init__(self, kernel: Kernel) -> None:
        self._kernel = kernel

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        del scope
        feed = _Feed(self._kernel)
        sending = asyncio.ensure_future(_send(feed, send))
        leaving = asyncio.ensure_future(_gone(receive))
        try:
            await asyncio.wait({sending, leaving}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            feed.end()
            for task in (sending, leaving):
                task.cancel()
            await asyncio.gather(sending, leaving, return_exceptions=True)


async def _send(feed: _Feed, send: Send) -> None:
    headers = [(name.encode(), value.encode()) for name, value in HEAD.items()]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": b": events of the kernel\n\n", "more_body": True})
    while not feed.dropped:
        events = await feed.next()
        body = b"".join(_lines(event) for event in events) or b": alive\n\n"
        # Where the reader does not read, this waits, the events pile up, and the feed is dropped.
        await send({"type": "http.response.body", "body": body, "more_body": True})
    reason = f"this reader was more than {MOST_BEHIND} events behind"
    last = f"event: dropped\ndata: {json.dumps({'reason': reason})}\n\n".encode()
    await send({"type": "http.response.body", "body": last, "more_body": False})


def _lines(event: Event) -> bytes:
    return b"event: %s\ndata: %s\n\n" % (event.name.encode(), json.dumps(encode_event(event)).encode())


async def _gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        continue
