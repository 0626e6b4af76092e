"""What grants have in common that no kernel has scheduled: there is no turn, nobody counts, and nothing is given back."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from typing_extensions import Self

    from aios_kernel.abi import Usage

__all__ = ["Unscheduled"]


class Unscheduled:
    """The part of a grant that tells the kernel of a call, and here tells nobody."""

    __slots__ = ()

    sid = pid = 0

    def report(self, usage: Usage) -> None:
        """Nobody counts."""

    def first_token(self) -> None:
        """Nobody waited for it."""

    def push_back(self, status: int, retry_after: float | None = None, *, anyway: bool = False) -> bool:
        """There is no turn to wait for."""
        return False

    async def apush_back(self, status: int, retry_after: float | None = None, *, anyway: bool = False) -> bool:
        """There is no turn to wait for."""
        return False

    def keep(self) -> Self:
        """There is nothing to give back."""
        return self

    def release(self, error: BaseException | None = None) -> None:
        """There is nothing to give back."""
