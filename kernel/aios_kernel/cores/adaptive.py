"""The number in flight that an endpoint bears, learned from what it refuses: additive increase, multiplicative decrease."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Attempt", "Window"]

MILD, HARD = 0.9, 0.6  # what a refusal leaves of the window: the first one, and one that follows before it recovered
FAR = 1.25  # times the size of the last refusal: from there on the window grows ever faster
MAX_PATIENCE = 32  # rounds between two probes at most


@dataclass(slots=True)
class Attempt:
    """One granted call: when it began, how many were in flight with it, and before which decrease."""

    started: float
    level: int
    epoch: int
    beyond: bool  # begun on a full window
    tokens: float = 0.0
    early: bool = False  # begun while the endpoint was closed


class Window:
    """How many calls may be in flight at once; `size` is None until the endpoint refuses one.

    A refusal with n others in flight says that n is what the endpoint bears, so a burst of refusals leads straight to
    its capacity. What was granted before the latest decrease only corrects it; only later attempts are news: a probe
    above what is known to work (`settled`) falls back to that and probes are made rarer; a refusal below it shrinks the
    window by a factor, and so anew for each that follows before a whole round succeeded.
    """

    def __init__(self) -> None:
        self.size: int | None = None
        self.settled = 0
        self.epoch = 0
        self._recover_to = 0  # up to here every success adds one: half of what worked before it all went wrong
        self._strikes = 0
        self._credit = 0
        self._patience = 1
        self._step = 1
        self._ceiling = 0  # what was left when a call was refused last

    def attempt(self, running: int, now: float) -> Attempt:
        """Note that a call begins beside `running` others."""
        return Attempt(now, running + 1, self.epoch, beyond=self.size is not None and running >= self.size)

    def refused(self, attempt: Attempt, running: int) -> bool:
        """Shrink for a refusal beside `running` others; True unless it only ends a probe above what works."""
        room = max(1, running)
        self._credit = 0
        if self.size is None:
            self._shrink(room)
            self.epoch += 1
            return True
        if attempt.epoch < self.epoch:
            self._shrink(min(self.size, room))
            return True
        if running >= self.settled:
            self.size = self._ceiling = self.settled
            self._step, self._patience = 1, min(2 * self._patience, MAX_PATIENCE)
            return False
        if self.size > 1 or not self._strikes:
            self._recover_to = max(self._recover_to, self.settled) // 2
        self._shrink(int(min(self.size, room) * (HARD if self._strikes else MILD)))
        self._strikes += 1
        self.epoch += 1
        return True

    def succeeded(self, attempt: Attempt, running: int) -> None:
        """Grow for a success, if the window was full: one per window of successes, fewer where probes failed."""
        if self.size is None or attempt.epoch < self.epoch or running + 1 < self.size:
            return
        self._credit += 1
        if self.size < self._recover_to:
            self.size += 1
            self.settled = self.size
        elif self.size > self.settled:
            self._confirm()
        elif self._credit >= self.size * self._patience:
            self.size = self.settled + self._step
            self._credit = self._strikes = 0

    def _confirm(self) -> None:
        """Take a probe for good once a whole round came through: one success may be luck of the client's own delays."""
        if self.size is None or self._credit < self.size:
            return
        self.settled, self._credit = self.size, 0
        self._patience = max(1, self._patience // 2)
        # Far above what was refused last, that no longer tells anything: larger steps.
        self._step = 2 * self._step if self.settled > FAR * self._ceiling else 1

    def _shrink(self, size: int) -> None:
        self.size = self.settled = self._ceiling = max(1, size)
        self._step = self._patience = 1
