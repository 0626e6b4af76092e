"""The gate: the only way into the kernel, the same for a kernel in this process and one in another.

with kernel.syscall(call) as grant:          # or: async with
if grant.lease: result = the caller's own call, then grant.report(usage)
else:           reply = grant.reply()    # or: await grant.areply(), grant.deltas(), grant.adeltas()
"""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager, AbstractContextManager
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from aios_kernel.abi import Call, Delta, Reply, Usage

__all__ = ["Gate", "Grant", "Syscall"]


class Grant(Protocol):
    """The right to run one call, until it is given back.

    Ownership: the `with` block gives it back on exit. After `keep()` the block does not, and whoever holds the object
    does: by `release()`, which may be called any number of times from any thread, or by dropping it.
    """

    @property
    def sid(self) -> int:
        """The syscall's number."""
        ...

    @property
    def pid(self) -> int:
        """The agent's number."""
        ...

    @property
    def lease(self) -> bool:
        """True: make the call yourself. False: the kernel's core answers it."""
        ...

    def report(self, usage: Usage) -> None:
        """Say what a leased call used; the last report counts."""
        ...

    def first_token(self) -> None:
        """Note that a leased stream gave its first piece."""
        ...

    def push_back(self, status: int, retry_after: float | None = None, *, anyway: bool = False) -> bool:
        """Say that the endpoint refused the attempt for load; True once the next turn has come, in this thread.

        False at once, with the grant as it was, where the resource let no other call through since the attempt before
        this one began: then the refusal stands, so that a dead endpoint is not tried for ever. `anyway` waits for a turn
        also then, for a caller that would try again in any case; False is then the answer of no kernel at all.
        """
        ...

    async def apush_back(self, status: int, retry_after: float | None = None, *, anyway: bool = False) -> bool:
        """Do the same in this event loop."""
        ...

    def reply(self) -> Reply:
        """Wait for the served reply."""
        ...

    async def areply(self) -> Reply:
        """Wait for the served reply."""
        ...

    def deltas(self) -> Iterator[Delta]:
        """Stream the served reply."""
        ...

    def adeltas(self) -> AsyncIterator[Delta]:
        """Stream the served reply."""
        ...

    def keep(self) -> Grant:
        """Have the grant outlive its `with` block, for a stream; return it."""
        ...

    def release(self, error: BaseException | None = None) -> None:
        """Give the grant back; idempotent, any thread, also from a finaliser."""
        ...


class Syscall(AbstractContextManager["Grant", None], AbstractAsyncContextManager["Grant", None], Protocol):
    """One entry into the kernel, used once, with `with` or `async with`.

    Entering waits for the grant. Raises `SyscallError` (deadline, access, full queue, closed kernel, policy or core
    failure); cancellation and Ctrl-C while waiting leave the queue at once.
    """


class Gate(Protocol):
    """What adapters know of a kernel."""

    def syscall(self, call: Call) -> Syscall:
        """Prepare the entry for one call; nothing happens before it is entered."""
        ...

    def status(self) -> Any:
        """Describe the kernel's state, for people."""
        ...

    def close(self) -> None:
        """Shut down: wake every waiter with `KernelClosed`; idempotent."""
        ...
