"""Time as an argument: the system's clock with one timer thread, and a mock clock that tests advance by hand."""

from __future__ import annotations

import heapq
import itertools
import threading
import time
from typing import TYPE_CHECKING, Protocol

from aios_kernel.logs import logger

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["Clock", "MockClock", "SystemClock", "Timer"]

log = logger(__name__)
SWEEP_AT = 1024  # fewer timers are never worth a sweep


class Timer:
    """A callback due at a time; `cancel()` is idempotent and safe from any thread."""

    __slots__ = ("callback", "when")

    def __init__(self, when: float, callback: Callable[[], None]) -> None:
        self.when = when
        self.callback: Callable[[], None] | None = callback

    def cancel(self) -> None:
        """Forget the callback; the entry leaves the heap when its time comes."""
        self.callback = None

    def fire(self) -> None:
        """Run the callback once, unless it was cancelled."""
        callback, self.callback = self.callback, None
        if callback is not None:
            callback()


class Clock(Protocol):
    """What the kernel knows of time: seconds from an arbitrary start, and callbacks at a time."""

    def now(self) -> float:
        """Seconds, monotonic."""
        ...

    def call_at(self, when: float, callback: Callable[[], None]) -> Timer:
        """Call back once at `when`, in any thread; the callback must be short and must not raise."""
        ...

    def close(self) -> None:
        """Drop every pending timer and stop."""
        ...


class SystemClock:
    """`time.monotonic` and one daemon thread that sleeps until the next timer; started by the first timer."""

    def __init__(self) -> None:
        self._heap: list[tuple[float, int, Timer]] = []
        self._count = itertools.count()
        self._sweep_at = SWEEP_AT
        self._changed = threading.Condition()
        self._thread: threading.Thread | None = None
        self._closed = False

    def now(self) -> float:
        """Seconds, monotonic."""
        return time.monotonic()

    def call_at(self, when: float, callback: Callable[[], None]) -> Timer:
        """Call back once at `when`, in the timer thread."""
        timer = Timer(when, callback)
        with self._changed:
            if self._closed:
                return timer
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="aios-timer", daemon=True)
                self._thread.start()
            self._sweep()
            heapq.heappush(self._heap, (when, next(self._count), timer))
            if self._heap[0][2] is timer:
                self._changed.notify()
        return timer

    def close(self) -> None:
        """Drop every pending timer and stop the thread."""
        with self._changed:
            self._closed = True
            self._heap.clear()
            self._changed.notify()
        if self._thread is not None and self._thread is not threading.current_thread():
            self._thread.join(timeout=1.0)

    def _sweep(self) -> None:
        """Drop cancelled timers once they may be half of all: a deadline far off outlives its call by far."""
        if len(self._heap) >= self._sweep_at:
            self._heap = [entry for entry in self._heap if entry[2].callback is not None]
            heapq.heapify(self._heap)
            self._sweep_at = max(SWEEP_AT, 2 * len(self._heap))

    def _run(self) -> None:
        while (timer := self._next_due()) is not None:
            try:
                timer.fire()
            except Exception:
                log.exception("a timer callback raised; the clock goes on")

    def _next_due(self) -> Timer | None:
        with self._changed:
            while not self._closed:
                while self._heap and self._heap[0][2].callback is None:
                    heapq.heappop(self._heap)
                if not self._heap:
                    self._changed.wait()
                elif (left := self._heap[0][0] - time.monotonic()) > 0:
                    self._changed.wait(left)
                else:
                    return heapq.heappop(self._heap)[2]
            return None


class MockClock:
    """A clock that stands still until `advance` moves it; timers fire in order, in the advancing thread."""

    def __init__(self, start: float = 0.0) -> None:
        self._now = start
        self._heap: list[tuple[float, int, Timer]] = []
        self._count = itertools.count()
        self._lock = threading.Lock()

    def now(self) -> float:
        """The time that `advance` has reached."""
        return self._now

    def call_at(self, when: float, callback: Callable[[], None]) -> Timer:
        """Call back once when `advance` reaches `when`."""
        timer = Timer(when, callback)
        with self._lock:
            heapq.heappush(self._heap, (when, next(self._count), timer))
        return timer

    def advance(self, seconds: float) -> None:
        """Move the time on, firing what falls due on the way."""
        end = self._now + seconds
        while True:
            with self._lock:
                if not self._heap or self._heap[0][0] > end:
                    break
                when, _, timer = heapq.heappop(self._heap)
                self._now = max(self._now, when)
            timer.fire()
        self._now = max(self._now, end)

    def next_timer(self) -> float | None:
        """When the next pending timer is due, None without one."""
        with self._lock:
            return min((when for when, _, timer in self._heap if timer.callback is not None), default=None)

    def close(self) -> None:
        """Drop every pending timer."""
        with self._lock:
            self._heap.clear()
