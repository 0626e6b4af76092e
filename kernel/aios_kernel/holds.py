"""Holds: what a check answers when it can neither allow nor refuse yet, such as while a person is asked."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, runtime_checkable

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

__all__ = ["Hold", "chained"]


@runtime_checkable
class Hold(Protocol):
    """A call waits out of line, at no cost to others, until its hold is settled.

    Both methods may be called from any thread and inside the scheduler, so they must not wait and must not raise.
    `withdraw` may come without `begin`, before it, after the answer, and more than once.
    """

    def begin(self, settle: Callable[[BaseException | None], None]) -> None:
        """Begin whatever leads to an answer; `settle` takes it: None lets the call through, an error refuses it.

        Any thread may settle; the first word counts.
        """
        ...

    def withdraw(self) -> None:
        """Take note that nobody waits for the answer any more."""
        ...


def chained(holds: Sequence[Hold]) -> Hold | None:
    """One hold for several: each is begun once the one before it has let the call through."""
    if not holds:
        return None
    return holds[0] if len(holds) == 1 else _Chain(tuple(holds))


class _Chain:
    def __init__(self, holds: tuple[Hold, ...]) -> None:
        self._holds = holds
        self._withdrawn = False

    def begin(self, settle: Callable[[BaseException | None], None]) -> None:
        self._next(0, settle)

    def withdraw(self) -> None:
        self._withdrawn = True
        for hold in self._holds:
            hold.withdraw()

    def _next(self, number: int, settle: Callable[[BaseException | None], None]) -> None:
        def settled(error: BaseException | None) -> None:
            if error is not None or number + 1 == len(self._holds):
                settle(error)
            elif not self._withdrawn:
                self._next(number + 1, settle)

        self._holds[number].begin(settled)
