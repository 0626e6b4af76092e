"""One way into the kernel that stays open when the kernel is closed, or lost, under a waiting call."""

from __future__ import annotations

from types import TracebackType
from typing import TYPE_CHECKING, Any

from aios_kernel.errors import CoreError, KernelClosed, KernelLost

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from aios_adapters.session import Session
    from aios_kernel.abi import Delta, Reply, Usage
    from aios_kernel.gate import Grant, Syscall

__all__ = ["Entry"]


class Entry:
    """Enter a syscall; where the session or its kernel ended before the grant, nothing was dispatched: the call may go
    on natively.
    """

    __slots__ = ("_session", "_syscall")

    def __init__(self, session: Session, syscall: Syscall) -> None:
        self._session, self._syscall = session, syscall

    def __enter__(self) -> Grant:
        try:
            return self._syscall.__enter__()
        except (KernelClosed, KernelLost) as error:
            if not self._session.goes_on(error):
                raise
            return NativeGrant()

    async def __aenter__(self) -> Grant:
        try:
            return await self._syscall.__aenter__()
        except (KernelClosed, KernelLost) as error:
            if not self._session.goes_on(error):
                raise
            return NativeGrant()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._syscall.__exit__(kind, error, trace)

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._syscall.__aexit__(kind, error, trace)


class NativeGrant:
    """The lease of a call that no kernel schedules any more."""

    sid = pid = 0
    lease = True

    def report(self, usage: Usage) -> None:
        """Nobody counts."""

    def first_token(self) -> None:
        """Nobody watches."""

    def push_back(self, status: int, retry_after: float | None = None, *, anyway: bool = False) -> bool:
        """There is no turn to wait for."""
        return False

    async def apush_back(self, status: int, retry_after: float | None = None, *, anyway: bool = False) -> bool:
        """There is no turn to wait for."""
        return False

    def keep(self) -> NativeGrant:
        """There is nothing to give back."""
        return self

    def release(self, error: BaseException | None = None) -> None:
        """There is nothing to give back."""

    def reply(self) -> Reply:
        """A lease has no reply."""
        raise _no_reply()

    async def areply(self) -> Reply:
        """A lease has no reply."""
        raise _no_reply()

    def deltas(self) -> Iterator[Delta]:
        """A lease has no reply."""
        raise _no_reply()

    def adeltas(self) -> AsyncIterator[Delta]:
        """A lease has no reply."""
        raise _no_reply()


def _no_reply() -> Any:
    return CoreError("this grant is a lease: make the call yourself instead of asking for a reply")
