"""The gate's two ends of a call to a kernel elsewhere: entering and waiting, and the grant until it is given back."""

from __future__ import annotations

import time
import weakref
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from aios_adapters.remote.ticket import Ticket
from aios_kernel.errors import CoreError, KernelLost
from aios_kernel.identity import current_agent, current_loop, open_tasks
from aios_kernel.protocol import encode_call, encode_error, encode_usage
from aios_kernel.scheduling.task import State

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator
    from types import TracebackType

    from aios_adapters.remote.kernel import RemoteKernel
    from aios_kernel.abi import Call, Delta, Reply, Usage

__all__ = ["RemoteGrant", "RemoteSyscall"]

TRIES = 3  # times that a call which was granted nothing is asked for again


class RemoteGrant:
    """A grant of a kernel in another process; see `aios_kernel.gate.Grant` for who owns it."""

    __slots__ = ("__weakref__", "_finalizer", "_runs_on", "_ticket", "_usage", "kept", "lease", "pid", "sid")

    def __init__(self, ticket: Ticket, granted: dict[str, Any], *, runs_on: bool = False) -> None:
        self.sid, self.pid, self.lease = int(granted["sid"]), int(granted["pid"]), bool(granted["lease"])
        self.kept = False
        self._ticket, self._runs_on = ticket, runs_on
        self._usage: Usage | None = None
        self._finalizer: weakref.finalize[..., Any] | None = None

    def report(self, usage: Usage) -> None:
        """Say what a leased call used; the last report counts."""
        self._usage = usage

    def first_token(self) -> None:
        """Note that a leased stream gave its first piece."""
        self._say("first_token")

    def push_back(self, status: int, retry_after: float | None = None, *, anyway: bool = False) -> bool:
        """Say that the endpoint refused the attempt for load; True once the next turn has come, in this thread."""
        self._say("push_back", status=status, retry_after=retry_after, anyway=anyway)
        try:
            return self._ticket.turn()["op"] == "granted"
        except KernelLost:
            if self._runs_on:
                return False
            raise
        except BaseException:
            _cancel(self._ticket)
            raise

    async def apush_back(self, status: int, retry_after: float | None = None, *, anyway: bool = False) -> bool:
        """Say that the endpoint refused the attempt for load; True once the next turn has come, in this event loop."""
        self._say("push_back", status=status, retry_after=retry_after, anyway=anyway)
        try:
            return (await self._ticket.aturn())["op"] == "granted"
        except KernelLost:
            if self._runs_on:
                return False
            raise
        except BaseException:
            _cancel(self._ticket)
            raise

    # Service

    def reply(self) -> Reply:
        """Wait for the served reply."""
        return self._served().reply()

    async def areply(self) -> Reply:
        """Wait for the served reply."""
        return await self._served().areply()

    def deltas(self) -> Iterator[Delta]:
        """Stream the served reply; leaving the iterator early cancels the call."""
        ticket = self._served()
        try:
            yield from ticket.deltas()
        finally:
            self.release()

    async def adeltas(self) -> AsyncIterator[Delta]:
        """Stream the served reply; leaving the iterator early cancels the call."""
        ticket = self._served()
        try:
            async for delta in ticket.adeltas():
                yield delta
        finally:
            self.release()

    def _served(self) -> Ticket:
        if self.lease:
            message = "this grant is a lease: make the call yourself instead of asking the kernel for a reply"
            raise CoreError(message)
        return self._ticket

    # Giving back

    def keep(self) -> RemoteGrant:
        """Have the grant outlive its `with` block, for a stream; return it."""
        if not self.kept:
            self.kept = True
            # `self` must not be reachable from its own finaliser: the ticket does not know the grant.
            self._finalizer = weakref.finalize(self, _cancel, self._ticket)
            self._finalizer.atexit = False
        return self

    def release(self, error: BaseException | None = None) -> None:
        """Give the grant back; idempotent, any thread, also from a finaliser."""
        if self._finalizer is not None:
            self._finalizer.detach()
        ticket = self._ticket
        if ticket.connection.end(ticket):
            usage = {} if self._usage is None else {"usage": encode_usage(self._usage)}
            failure = {} if error is None else {"error": encode_error(error)}
            ticket.connection.send({"op": "release", "id": ticket.number, **usage, **failure})

    def _say(self, op: str, **more: Any) -> None:
        self._ticket.connection.send({"op": op, "id": self._ticket.number, **more})


def _cancel(ticket: Ticket) -> None:
    """Leave the queue, or give back what was granted meanwhile."""
    if ticket.connection.end(ticket):
        ticket.connection.send({"op": "cancel", "id": ticket.number})


class RemoteSyscall:
    """One entry into a kernel of another process, used once."""

    __slots__ = ("_began", "_call", "_entered_once", "_grant", "_kernel", "_lost")

    def __init__(self, kernel: RemoteKernel, call: Call) -> None:
        self._kernel, self._call = kernel, call
        self._grant: RemoteGrant | None = None
        self._began = 0.0
        self._lost = 0
        self._entered_once = False

    def __enter__(self) -> RemoteGrant:
        ticket = self._begin(blocks=True)
        while True:
            try:
                return self._entered(ticket, ticket.turn())
            except KernelLost:
                ticket = self._again(ticket, blocks=True)
            except BaseException:  # Ctrl-C: leave the queue, or give back what was granted meanwhile
                _cancel(ticket)
                raise

    async def __aenter__(self) -> RemoteGrant:
        ticket = self._begin(blocks=False)
        while True:
            try:
                return self._entered(ticket, await ticket.aturn())
            except KernelLost:
                ticket = self._again(ticket, blocks=False)
            except BaseException:
                _cancel(ticket)
                raise

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        grant, self._grant = self._grant, None
        if grant is None:
            return
        if error is not None or not grant.kept:
            grant.release(error)
        # A kept grant stays among the open ones: what its holder calls meanwhile runs inside it.
        open_tasks.set(_open())

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.__exit__(kind, error, trace)

    def _begin(self, *, blocks: bool) -> Ticket:
        if self._entered_once:
            message = "a syscall is entered once; ask the kernel for a new one"
            raise RuntimeError(message)
        self._entered_once = True
        self._began = time.monotonic()
        return self._ask(self._call, blocks=blocks)

    def _again(self, ticket: Ticket, *, blocks: bool) -> Ticket:
        """Ask once more where a server that had welcomed us died before the grant: nothing has been dispatched.

        Another loss on the way is raised: then there is no server to ask.
        """
        self._lost += 1
        if self._lost > TRIES or not self._kernel.ask_again(ticket.connection):
            raise  # noqa: PLE0704 - called where the loss is handled
        call = self._call
        if call.timeout is not None:
            call = replace(call, timeout=max(0.0, call.timeout - (time.monotonic() - self._began)))
        return self._ask(call, blocks=blocks)

    def _ask(self, call: Call, *, blocks: bool) -> Ticket:
        agent = call.agent or current_agent.get()
        call = call if agent is call.agent else replace(call, agent=agent)
        data, loop = encode_call(call), current_loop()
        connection = self._kernel.connection()
        inside = [t.number for t in _open() if isinstance(t, Ticket) and t.connection is connection]
        ticket = connection.open()
        message = {"op": "syscall", "id": ticket.number, "call": data, "inside": inside, "loop": loop}
        try:
            connection.send({**message, "blocks": blocks and loop != 0})
        except BaseException:
            _cancel(ticket)
            raise
        return ticket

    def _entered(self, ticket: Ticket, granted: dict[str, Any]) -> RemoteGrant:
        self._grant = RemoteGrant(ticket, granted, runs_on=self._kernel.runs_on)
        open_tasks.set((*_open(), ticket))
        return self._grant


def _open() -> tuple[Any, ...]:
    return tuple(one for one in open_tasks.get() if one.state is not State.DONE)
