"""A rate the endpoint allows: a token bucket with reservation, and reconciliation once the real amount is known."""

from __future__ import annotations

__all__ = ["Rate"]

SLACK = 1e-9  # floating-point dust: a wait that is over must not ask for another one
EMPTY = 0.05  # below this part of its allowance a bucket explains a refusal


class Rate:
    """Allow `limit` units per `window` seconds: a full allowance at once, then as it refills, evenly.

    That is how hosted endpoints count (their `x-ratelimit-reset-*` headers tell). An amount above the limit is taken as
    the limit, so that it waits for a full bucket and not for ever.
    """

    def __init__(self, limit: float, window: float = 60.0) -> None:
        if limit <= 0 or window <= 0:
            message = f"a rate of {limit} per {window} s allows nothing: use numbers above 0"
            raise ValueError(message)
        self.limit, self.window = float(limit), float(window)
        self._level = self.limit
        self._updated: float | None = None

    def level(self, now: float) -> float:
        """What is left; negative when more was used than had been reserved."""
        if self._updated is not None:
            self._level = min(self.limit, self._level + (now - self._updated) * self.limit / self.window)
        self._updated = now
        return self._level

    def delay(self, amount: float, now: float) -> float:
        """Return seconds until `amount` is there."""
        missing = min(amount, self.limit) - self.level(now)
        return 0.0 if missing <= SLACK * self.limit else missing * self.window / self.limit

    def take(self, amount: float, now: float) -> float:
        """Reserve `amount`; return what was taken."""
        taken = min(amount, self.limit)
        self._level = self.level(now) - taken
        return taken

    def settle(self, reserved: float, used: float, now: float) -> None:
        """Replace a reservation by what was really used."""
        self._level = min(self.limit, self.level(now) + reserved - used)

    def refused(self, now: float) -> bool:
        """Take the endpoint's word that nothing is left, if little was by our count; return whether it was so."""
        if self.level(now) > max(1.0, EMPTY * self.limit):
            return False
        self._level = min(self._level, 0.0)
        return True
