"""The endpoint's limits: how many requests run at once, and how many requests and tokens a minute allows."""

from __future__ import annotations

import asyncio
import math
import time
from collections import deque
from dataclasses import dataclass, field


class OverloadedError(Exception):
    """All slots are taken and the endpoint rejects instead of queueing."""


@dataclass
class Slots:
    """Serve at most `capacity` requests at once (None: no limit); the others wait in order or are rejected."""

    capacity: int | None = None
    mode: str = "queue"
    in_flight: int = 0
    peak: int = 0
    waiting: deque[asyncio.Future[None]] = field(default_factory=deque[asyncio.Future[None]])

    async def acquire(self) -> None:
        """Take a slot. A waiter that is cancelled passes on the slot it may just have been given."""
        if self.capacity is None or self.in_flight < self.capacity:
            self.in_flight += 1
            self.peak = max(self.peak, self.in_flight)
            return
        if self.mode == "reject":
            raise OverloadedError
        turn = asyncio.get_running_loop().create_future()
        self.waiting.append(turn)
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():
                self.release()
            raise

    def release(self) -> None:
        """Give the slot to the first waiter still there, or back."""
        while self.waiting:
            turn = self.waiting.popleft()
            if not turn.done():
                turn.set_result(None)
                return
        self.in_flight -= 1


@dataclass
class Rate:
    """A token bucket that holds one window's allowance and refills evenly. `limit` None allows everything."""

    limit: int | None
    window: float = 60.0
    level: float = field(init=False)
    updated: float = field(default_factory=time.monotonic)

    def __post_init__(self) -> None:
        self.level = float(self.limit or 0)

    def wait(self, amount: int) -> float:
        """Return the seconds until `amount` is available: 0.0 when it is now, the whole window when never."""
        if self.limit is None:
            return 0.0
        self._refill(self.limit)
        missing = amount - self.level
        return 0.0 if missing <= 0 else min(missing / self.limit, 1.0) * self.window

    def take(self, amount: int) -> None:
        """Take what `wait` said is available."""
        self.level -= amount

    def headers(self, name: str) -> dict[str, str]:
        """Return the `x-ratelimit-*` headers for `name`; none without a limit."""
        if self.limit is None:
            return {}
        reset = (self.limit - self.level) / self.limit * self.window
        return {
            f"x-ratelimit-limit-{name}": str(self.limit),
            f"x-ratelimit-remaining-{name}": str(max(0, math.floor(self.level))),
            f"x-ratelimit-reset-{name}": f"{reset:.3f}s",
        }

    def _refill(self, limit: int) -> None:
        now = time.monotonic()
        self.level = min(float(limit), self.level + (now - self.updated) * limit / self.window)
        self.updated = now
