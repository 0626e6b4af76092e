"""What an endpoint bears: the limits it was said to have, and those it shows by refusing calls."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

from aios_kernel.cores.adaptive import Attempt, Window
from aios_kernel.cores.rates import Rate
from aios_kernel.errors import ConfigError
from aios_kernel.scheduling.limiter import NOW, WHEN_RELEASED, Outcome

if TYPE_CHECKING:
    from aios_kernel.scheduling.task import Task

__all__ = ["EndpointLimiter"]

MIN_PAUSE, MAX_PAUSE = 0.1, 30.0  # seconds between probes of an endpoint that refuses even a single call
SOONER = 0.8  # of the gap between two calls that were accepted, for the next one
STALL, MAX_STALL = 60.0, 960.0  # seconds without any end after which one more call is tried on a full window


class EndpointLimiter:
    """Decide when the next call may go to an endpoint.

    `in_flight` bounds the calls at once; `rpm` and `tpm` are requests and tokens per `window` seconds (a minute);
    None: not told. Nothing untold holds a call back until the endpoint refuses one. `rng` spreads the probes.

    A refused call is not sent again before its Retry-After has passed. Until then no other call starts either,
    except one that was never refused, after a call in flight has succeeded; if that one succeeds too, the refusal was
    for the number in flight, which the window has learned by then, and calls that were not refused go on.
    """

    def __init__(
        self,
        in_flight: float | None = None,
        rpm: float | None = None,
        tpm: float | None = None,
        window: float = 60.0,
        rng: random.Random | None = None,
    ) -> None:
        if in_flight is not None and in_flight < 1:
            message = f"the limit of calls in flight is {in_flight}: use 1 or more, or None to learn it"
            raise ConfigError(message)
        self.in_flight = None if in_flight is None else int(in_flight)
        self.window = Window()
        self.refusals = 0
        self._requests = None if rpm is None else Rate(rpm, window)
        self._tokens = None if tpm is None else Rate(tpm, window)
        self._rng = rng or random.Random()
        self._attempts: dict[Task, Attempt] = {}
        self._not_before: WeakKeyDictionary[Task, float] = WeakKeyDictionary()
        self._closed_until = self._opened = self._quiet_since = float("-inf")
        self._proved = False  # a call has succeeded since the endpoint was closed
        self._accepted: float | None = None  # when a call last succeeded
        self._gap: float | None = 0.0  # between the last two of those; None while pauses look for it
        self._stall = STALL
        self._waits_for = ""
        self._checks = (
            ("its Retry-After", self._own),
            ("in-flight limit", self._told),
            ("the endpoint's Retry-After", self._closed),
            ("learned in-flight limit", self._learned),
            ("rpm", self._rpm),
            ("tpm", self._tpm),
        )

    # The Limiter protocol

    def delay(self, task: Task, running: int, now: float) -> float:
        """Return seconds until the task may start: NOW, a time to ask again after, or WHEN_RELEASED."""
        for reason, check in self._checks:
            if (delay := check(task, running, now)) > NOW:
                self._waits_for = reason
                return delay
        self._waits_for = ""
        return NOW

    def started(self, task: Task, now: float) -> None:
        """Reserve a request and the tokens the task is expected to use."""
        attempt = self._attempts[task] = self.window.attempt(len(self._attempts), now)
        attempt.early = now < self._closed_until
        if attempt.beyond:
            self._quiet_since = now
        if self._requests is not None:
            self._requests.take(1.0, now)
        if self._tokens is not None:
            attempt.tokens = self._tokens.take(task.estimate, now)

    def ended(self, task: Task, outcome: Outcome, running: int, now: float) -> None:
        """Reconcile the reservation with what was used, and learn from the outcome."""
        attempt = self._attempts.pop(task, None)
        if attempt is None:
            return
        self._quiet_since = now
        self._settle(attempt, outcome, now)
        if outcome.pushed_back:
            self._not_before[task] = now + (outcome.retry_after or 0.0)
            self._refused(attempt, outcome.retry_after, running, now)
        elif outcome.error is None:
            self._succeeded(attempt, running, now)

    def status(self) -> dict[str, Any]:
        """Describe the limits in force, told or learned, and what the next call waits for."""
        learned = self.window.size
        known = [size for size in (self.in_flight, learned) if size is not None]
        return {
            "limit": min(known) if known else "none yet",
            "told": {"in_flight": self.in_flight, "rpm": _limit(self._requests), "tpm": _limit(self._tokens)},
            "learned": learned,
            "in_flight": len(self._attempts),
            "refusals": self.refusals,
            "waits_for": self._waits_for,
            "closed_until": self._closed_until if self._closed_until > self._quiet_since else None,
        }

    # Why a call waits

    def _own(self, task: Task, running: int, now: float) -> float:
        return self._not_before.get(task, now) - now if task.attempts else NOW

    def _told(self, task: Task, running: int, now: float) -> float:
        return WHEN_RELEASED if self.in_flight is not None and running >= self.in_flight else NOW

    def _closed(self, task: Task, running: int, now: float) -> float:
        left = self._closed_until - now
        if left <= 0 or (self._proved and task.attempts == 0 and not any(a.early for a in self._attempts.values())):
            return NOW
        return left

    def _learned(self, task: Task, running: int, now: float) -> float:
        if self.window.size is None or running < self.window.size:
            return NOW
        if task.attempts == 0 and (task.ancestors or task.blocks_loop):
            return WHEN_RELEASED  # its own caller holds a slot: the queue may lend it that one
        # Those in flight may never end, being half-read streams whose readers wait for this very call: try one more.
        return self._quiet_since + self._stall - now

    def _rpm(self, task: Task, running: int, now: float) -> float:
        return NOW if self._requests is None else self._requests.delay(1.0, now)

    def _tpm(self, task: Task, running: int, now: float) -> float:
        return NOW if self._tokens is None else self._tokens.delay(task.estimate, now)

    # What an end teaches

    def _settle(self, attempt: Attempt, outcome: Outcome, now: float) -> None:
        """Give tokens back; an end that does not tell what was used keeps the whole reservation."""
        if self._tokens is not None and outcome.pushed_back:
            self._tokens.settle(attempt.tokens, 0.0, now)
        elif self._tokens is not None and outcome.usage is not None and outcome.usage.total_tokens:
            self._tokens.settle(attempt.tokens, outcome.usage.total_tokens, now)

    def _refused(self, attempt: Attempt, retry_after: float | None, running: int, now: float) -> None:
        self.refusals += 1
        if attempt.beyond:
            self._stall = min(2 * self._stall, MAX_STALL)  # it was tried on a full window, which stays as it is
        elif self._ran_dry(now):
            self._close(retry_after or 0.0, now)
        elif self.window.refused(attempt, running) and attempt.started >= self._opened:
            self._close(self._pause_for(attempt, now) if retry_after is None else retry_after, now)

    def _ran_dry(self, now: float) -> bool:
        """Whether a told rate explains the refusal: our count ran ahead of the endpoint's, and follows it now."""
        dry = [rate.refused(now) for rate in (self._requests, self._tokens) if rate is not None]
        return any(dry)

    def _pause_for(self, attempt: Attempt, now: float) -> float:
        """Seconds to wait for a time the endpoint did not tell: none if others are in flight.

        A call refused though it was alone waits about as long as the last one did, then ever longer: by half of the
        time since one was accepted.
        """
        if attempt.level > 1 or self._attempts:
            return 0.0
        accepted = self._accepted = attempt.started if self._accepted is None else self._accepted
        gap, self._gap = self._gap, None
        pause = (now - accepted) / 2 if gap is None else accepted + SOONER * gap - now
        return min(max(pause, MIN_PAUSE), MAX_PAUSE) * self._rng.uniform(0.9, 1.1)

    def _close(self, seconds: float, now: float) -> None:
        if seconds > 0:
            self._closed_until = max(self._closed_until, now + seconds)
            self._proved = False

    def _succeeded(self, attempt: Attempt, running: int, now: float) -> None:
        self.window.succeeded(attempt, running)
        self._gap = now - self._accepted if self._gap is None and self._accepted is not None else 0.0
        self._accepted = now
        self._stall = STALL
        self._proved = True
        if attempt.early and now < self._closed_until:
            self._closed_until, self._opened = float("-inf"), now


def _limit(rate: Rate | None) -> float | None:
    return None if rate is None else rate.limit
