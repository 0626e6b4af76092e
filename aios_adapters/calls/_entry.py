"""One way into the kernel that stays open when the kernel is closed, or lost, under a waiting call."""

from __future__ import annotations

from types import TracebackType
from typing import TYPE_CHECKING, Any

from aios_kernel.errors import CoreError, KernelClosed, KernelLost
from aios_kernel.unscheduled import Unscheduled

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator

    from aios_adapters.session import Session
    from aios_kernel.abi import Delta, Reply
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
            return self._native()

    async def __aenter__(self) -> Grant:
        try:
            return await self._syscall.__aenter__()
        except (KernelClosed, KernelLost) as error:
            if not self._session.goes_on(error):
                raise
            return self._native()

    def _native(self) -> Grant:
        """A grant for the call itself; a journal has its answer all the same, unless it ended with the session."""
        recorded: Callable[[Grant], Grant] | None = getattr(self._syscall, "recorded", None)
        return NativeGrant() if recorded is None or self._session.ended else recorded(NativeGrant())

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._syscall.__exit__(kind, error, trace)

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._syscall.__aexit__(kind, error, trace)


class NativeGrant(Unscheduled):
    """The lease of a call that no kernel schedules any more."""

    __slots__ = ()

    lease = True

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
