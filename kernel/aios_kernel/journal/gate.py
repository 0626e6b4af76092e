"""A gate with a journal before it: what is recorded is answered, the rest goes on to the kernel, here or elsewhere."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from aios_kernel.errors import JournalError
from aios_kernel.identity import current_agent
from aios_kernel.journal.journal import Journal, Record
from aios_kernel.journal.replies import deltas_of, reply_of
from aios_kernel.process import ROOT
from aios_kernel.unscheduled import Unscheduled

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator
    from types import TracebackType

    from aios_kernel.abi import Call, Delta, Reply, Usage
    from aios_kernel.gate import Gate, Grant, Syscall
    from aios_kernel.journal._file import Ticket
    from aios_kernel.journal.journal import Asked

__all__ = ["Journaled"]


class Journaled:
    """A kernel whose calls are journaled; everything else of it is the kernel's own.

    A call that the journal answers takes no slot and costs nothing; a kernel in this process still checks whether it is allowed.
    """

    def __init__(self, kernel: Gate, journal: Journal) -> None:
        self.inner, self.journal = kernel, journal

    def __getattr__(self, name: str) -> Any:
        return getattr(self.inner, name)

    def syscall(self, call: Call) -> Any:
        """Prepare the entry for one call; nothing happens before it is entered."""
        return JournaledSyscall(self, call) if Journal.takes(call) else self.inner.syscall(call)

    def status(self) -> Any:
        """Describe the kernel's state."""
        return self.inner.status()

    def close(self) -> None:
        """Shut the kernel down, then close the journal; idempotent."""
        self.inner.close()
        self.journal.close()


class JournaledSyscall:
    """One entry: answered from the journal, or through the kernel's own."""

    __slots__ = ("_asked", "_call", "_gate", "_syscall")

    def __init__(self, gate: Journaled, call: Call) -> None:
        self._gate, self._call = gate, call
        self._syscall: Syscall | None = None

    def recorded(self, grant: Grant) -> RecordingGrant:
        """A grant of somebody else's, for this call's own work after its kernel was lost; what it gives is recorded."""
        return RecordingGrant(self._gate.journal, self._asked, grant)

    def _look(self) -> Asked:
        asked = self._asked = self._gate.journal.look(self._call, self._call.agent or current_agent.get() or ROOT)
        if asked.record is None:
            self._syscall = self._gate.inner.syscall(self._call)
        else:
            vet = getattr(self._gate.inner, "vet", None)
            if vet is not None:
                vet(self._call)
        return asked

    def __enter__(self) -> Any:
        asked = self._look()
        if self._syscall is None:
            return ReplayGrant(asked)
        return RecordingGrant(self._gate.journal, asked, self._syscall.__enter__())

    async def __aenter__(self) -> Any:
        asked = self._look()
        if self._syscall is None:
            return ReplayGrant(asked)
        return RecordingGrant(self._gate.journal, asked, await self._syscall.__aenter__())

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._syscall is not None:
            self._syscall.__exit__(kind, error, trace)

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._syscall is not None:
            await self._syscall.__aexit__(kind, error, trace)


class ReplayGrant(Unscheduled):
    """The grant of a call that the journal answers: never a lease, since nothing is to be done any more.

    `replay` is what an adapter recorded of its framework's own result, which it turns back itself.
    """

    __slots__ = ("_asked", "_record", "replay")

    lease = False

    def __init__(self, asked: Asked) -> None:
        self._asked, self._record = asked, asked.record or Record()
        self.replay: Any = self._record.native

    @property
    def call_id(self) -> str | None:
        """The number that the model gave a tool call this time."""
        return self._asked.call_id

    def reply(self) -> Reply:
        """The recorded reply."""
        if self.replay is not None:
            raise JournalError(
                f"{self._asked.label!r} of agent {self._asked.agent!r} was recorded by an adapter, as its framework's own "
                f"result; ask through the same adapter"
            )
        return self._record.reply or reply_of(self._record.deltas)

    async def areply(self) -> Reply:
        """The recorded reply."""
        return self.reply()

    def deltas(self) -> Iterator[Delta]:
        """The recorded pieces."""
        yield from self._record.deltas or deltas_of(self.reply())

    async def adeltas(self) -> AsyncIterator[Delta]:
        """The recorded pieces."""
        for delta in self.deltas():
            yield delta


class RecordingGrant:
    """A kernel's grant whose answer is recorded, and on the disk before the caller has it."""

    __slots__ = ("_asked", "_done", "_journal", "inner", "usage")

    def __init__(self, journal: Journal, asked: Asked, inner: Grant) -> None:
        self._journal, self._asked, self.inner, self._done = journal, asked, inner, False
        self.usage: Usage | None = None

    def __getattr__(self, name: str) -> Any:
        return getattr(self.inner, name)

    def keep(self) -> RecordingGrant:
        """Have the grant outlive its `with` block; return it."""
        self.inner.keep()
        return self

    # Leases: an adapter tells what came of them

    def report(self, usage: Usage) -> None:
        """Say what a leased call used; a recorded reply says it too."""
        self.usage = usage
        self.inner.report(usage)

    @property
    def call_id(self) -> str | None:
        """The number that the model gave a tool call."""
        return self._asked.call_id

    @property
    def records(self) -> bool:
        """Whether anything is recorded."""
        return self._journal.mode in {"record", "refresh"}

    def record(self, native: Any = None, *, opaque: str = "") -> None:
        """Record what an adapter kept of a leased call's result, as plain data, and wait until it is on the disk."""
        ticket = self._written(Record(native=native, opaque=opaque))
        if ticket is not None:
            ticket.wait()

    async def arecord(self, native: Any = None, *, opaque: str = "", reply: Reply | None = None) -> None:
        """Do the same in this event loop; an adapter that can say the result as a reply is served that again."""
        ticket = self._written(Record(reply, native=native, opaque=opaque))
        if ticket is not None:
            await ticket.await_()

    def unrecorded(self) -> None:
        """Say that the result of a leased call could not be kept; it will be made again."""
        self._journal.unrecorded()

    # Services

    def reply(self) -> Reply:
        """Wait for the served reply."""
        reply = self.inner.reply()
        if (ticket := self._written(Record(reply=reply))) is not None:
            ticket.wait()
        return reply

    async def areply(self) -> Reply:
        """Wait for the served reply."""
        reply = await self.inner.areply()
        if (ticket := self._written(Record(reply=reply))) is not None:
            await ticket.await_()
        return reply

    def deltas(self) -> Iterator[Delta]:
        """Stream the served reply; its last piece comes when the whole is on the disk."""
        seen: list[Delta] = []
        inner = self.inner.deltas()
        try:
            for delta in inner:
                seen.append(delta)
                if (ticket := self._last(seen)) is not None:
                    ticket.wait()
                yield delta
        finally:
            getattr(inner, "close", lambda: None)()

    async def adeltas(self) -> AsyncIterator[Delta]:
        """Stream the served reply."""
        seen: list[Delta] = []
        inner = self.inner.adeltas()
        try:
            async for delta in inner:
                seen.append(delta)
                if (ticket := self._last(seen)) is not None:
                    await ticket.await_()
                yield delta
        finally:
            aclose = getattr(inner, "aclose", None)
            if aclose is not None:
                await aclose()

    def _last(self, seen: list[Delta]) -> Ticket | None:
        return self._written(Record(deltas=tuple(seen))) if seen[-1].finish_reason is not None else None

    def _written(self, record: Record) -> Ticket | None:
        """Queue the answer; a call has one, and what says it first is heard."""
        done, self._done = self._done, True
        return None if done else self._journal.write(self._asked, record)
