"""A served call on its way: the core's end (Job) and the caller's end (Mailbox), for threads and event loops alike."""

from __future__ import annotations

import threading
from collections import deque
from typing import TYPE_CHECKING, Any

from aios_kernel.abi import Delta, Reply
from aios_kernel.errors import CoreError
from aios_kernel.scheduling.limiter import Outcome

if TYPE_CHECKING:
    import asyncio
    from collections.abc import AsyncIterator, Callable, Iterator

    from aios_kernel.scheduling.task import Task

__all__ = ["Job", "Mailbox"]

Item = Delta | Reply | BaseException


class Mailbox:
    """Carry the pieces and the end of a reply from any thread to one consumer, in a thread or in an event loop.

    Unbounded, so a core never waits for a slow consumer; bounded in fact by the tokens of one call.
    """

    __slots__ = ("_items", "_wake")

    def __init__(self) -> None:
        self._items: deque[Item] = deque()
        self._wake: Callable[[], object] | None = None

    def put(self, item: Item) -> bool:
        """Add an item and wake the consumer; never blocks, any thread. False: its event loop is closed."""
        self._items.append(item)
        wake, self._wake = self._wake, None
        return wake is None or wake() is not False

    def get(self) -> Item:
        """Wait in this thread for the next item."""
        while not self._items:
            woken = threading.Lock()
            woken.acquire()
            self._wake = woken.release
            # An item put before `_wake` was set has woken nobody: look again before sleeping.
            if not self._items:
                woken.acquire()
        return self._take()

    async def aget(self) -> Item:
        """Wait in this event loop for the next item."""
        while not self._items:
            loop = running_loop()
            woken: asyncio.Future[None] = loop.create_future()
            self._wake = lambda loop=loop, woken=woken: wake_future(loop, woken)
            if not self._items:
                await woken
        return self._take()

    def _take(self) -> Item:
        return self._items.popleft()

    def reply(self) -> Reply:
        """Wait in this thread for the whole reply."""
        while not isinstance(item := self.get(), Reply):
            _delta(item)
        return item

    async def areply(self) -> Reply:
        """Wait in this event loop for the whole reply."""
        while not isinstance(item := await self.aget(), Reply):
            _delta(item)
        return item

    def deltas(self) -> Iterator[Delta]:
        """Yield the pieces as they come; the last carries the finish reason and the usage."""
        sent = False
        while not isinstance(item := self.get(), Reply):
            delta = _delta(item)
            sent = sent or delta.finish_reason is not None
            yield delta
        if not sent:
            yield _last_delta(item)

    async def adeltas(self) -> AsyncIterator[Delta]:
        """Yield the pieces as they come, in this event loop."""
        sent = False
        while not isinstance(item := await self.aget(), Reply):
            delta = _delta(item)
            sent = sent or delta.finish_reason is not None
            yield delta
        if not sent:
            yield _last_delta(item)


def running_loop() -> asyncio.AbstractEventLoop:
    """The event loop of this coroutine."""
    # Imported here: a program without coroutines need not pay for asyncio at import.
    import asyncio

    return asyncio.get_running_loop()


def wake_future(loop: asyncio.AbstractEventLoop, future: asyncio.Future[None]) -> bool:
    """Complete the future from any thread; False when its loop is closed and nobody can be woken."""
    try:
        loop.call_soon_threadsafe(_complete, future)
    except RuntimeError:  # the loop is closed
        return False
    return True


def _complete(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)


class Job:
    """One call that a core serves.

    The core calls `emit` for each piece (only needed when `call.stream`), then exactly one of `finish` and `fail`,
    from any thread; what comes after the end is ignored. It looks at `cancelled`, or registers `on_cancel`, to stop
    early, and then still ends the job (`fail` with anything will do). `call` is of a class that the core serves,
    `prepared` what the core's own `prepare` made.
    """

    __slots__ = (
        "_done",
        "_on_cancel",
        "_on_end",
        "_on_first",
        "call",
        "cancelled",
        "killed",
        "mailbox",
        "prepared",
        "started",
        "task",
    )

    def __init__(self, call: Any, task: Task, prepared: Any, mailbox: Mailbox | None = None) -> None:
        self.call = call
        self.task = task
        self.prepared = prepared
        self.mailbox = Mailbox() if mailbox is None else mailbox
        self.cancelled = False
        self.killed: BaseException | None = None
        self.started = 0  # the attempt that the core was last told of
        self._done = False
        self._on_cancel: Callable[[], None] | None = None
        self._on_end: Callable[[Outcome, Reply | None], None] | None = None
        self._on_first: Callable[[], None] | None = None

    # The core's end

    def emit(self, delta: Delta) -> None:
        """Pass a piece of the reply on."""
        if not self._done and self.killed is None:
            self.first_token()
            self.mailbox.put(delta)

    def first_token(self) -> None:
        """Note that the first token exists, for a core that emits nothing because nobody streams."""
        first, self._on_first = self._on_first, None
        if first is not None:
            first()

    def finish(self, reply: Reply) -> None:
        """End with a reply; the slot is given back here, whether or not anybody reads the reply."""
        self._end(reply, Outcome(usage=reply.usage), reply)

    def fail(self, error: BaseException) -> None:
        """End with an error, raised in the caller."""
        self._end(error, Outcome(error=error), None)

    def on_cancel(self, callback: Callable[[], None]) -> None:
        """Have `callback` called once, in any thread, when the caller no longer wants the reply."""
        self._on_cancel = callback
        if self.cancelled:
            self.cancel()

    def _end(self, item: Item, outcome: Outcome, reply: Reply | None) -> None:
        if self._done:
            return
        self._done = True
        ended, self._on_end = self._on_end, None
        if self.killed is not None:  # the caller has had its answer
            outcome = Outcome(usage=outcome.usage, error=self.killed)
        if ended is not None:
            ended(outcome, reply)
        if self.killed is None:
            self.mailbox.put(item)

    # The kernel's and the caller's end

    def watch(self, on_first: Callable[[], None], on_end: Callable[[Outcome, Reply | None], None]) -> None:
        """Have the kernel told of the first token and of the end."""
        self._on_first, self._on_end = on_first, on_end

    @property
    def done(self) -> bool:
        """Whether the core has ended the job."""
        return self._done

    def cancel(self) -> None:
        """Tell the core that nobody wants the reply any more; the core ends the job."""
        self.cancelled = True
        callback, self._on_cancel = self._on_cancel, None
        if callback is not None and not self._done:
            callback()

    def kill(self, error: BaseException) -> None:
        """Answer the caller with `error` at once, and tell the core to stop; the slot is free when the core ends."""
        if not self._done and self.killed is None:
            self.killed = error
            self.mailbox.put(error)
            self.cancel()


def _delta(item: Delta | BaseException) -> Delta:
    """The item itself if it is a piece of the reply; an error is raised here, in the caller."""
    if isinstance(item, Delta):
        return item
    if isinstance(item, Exception):
        raise item  # with the cause that it came with
    raise CoreError(f"the core ended the call: {item!r}") from item


def _last_delta(reply: Reply) -> Delta:
    return Delta(finish_reason=reply.finish_reason, usage=reply.usage)
