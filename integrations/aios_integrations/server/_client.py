"""One client of the channel: a process elsewhere, its open calls, and what is to be sent to it."""

from __future__ import annotations

import asyncio
import threading
import time
from collections import deque
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from aios_integrations.server._held import Held
from aios_kernel.abi import Agent, LLMCall
from aios_kernel.errors import CoreError, SyscallError
from aios_kernel.identity import Caller
from aios_kernel.protocol import (
    ProtocolError,
    decode_call,
    decode_error,
    decode_usage,
    encode_error,
    encode_status,
    line,
)

if TYPE_CHECKING:
    from collections.abc import Callable
    from concurrent.futures import Executor

    from aios_kernel.abi import Call
    from aios_kernel.kernel import Kernel

__all__ = ["Client", "Peer"]


@dataclass(frozen=True, slots=True)
class Peer:
    """A process as it introduced itself; `host` is "" for one of this machine."""

    program: str
    pid: int
    host: str = ""

    @property
    def name(self) -> str:
        """What tells its agents from those of other processes."""
        return f"{self.program}[{self.pid}]" + (f"@{self.host}" if self.host else "")


class Client:
    """Enter the kernel on behalf of a process elsewhere.

    Threads: everything runs on the server's loop but `post` and `wake`, which any thread may call, since grants and
    replies come from wherever the scheduler or a core is at work. Memory: what waits to be sent is bounded by what the
    client asked for: an answer per call, and for streams as many pieces as it said it had room for.
    """

    def __init__(self, kernel: Kernel, peer: Peer, number: int, pool: Executor) -> None:
        self.kernel, self.peer, self.number = kernel, peer, number
        self.since = time.time()
        self._loop, self._pool = asyncio.get_running_loop(), pool
        self._thread = threading.get_ident()
        self._held: dict[int, Held] = {}
        self._agents: dict[Agent, None] = {}
        self._out: deque[bytes] = deque()
        self._streams: deque[Held] = deque()
        self._due = asyncio.Event()
        self._empty = asyncio.Event()
        self._woken = False
        self._gone = False
        self._heard = time.monotonic()
        self._handlers: dict[str, Callable[[dict[str, Any]], None]] = {
            "syscall": self._syscall,
            "cancel": self._cancel,
            "release": self._release,
            "first_token": self._first_token,
            "push_back": self._push_back,
            "more": self._more,
            "status": self._status,
            "pong": self._pong,
        }
        self._admitting: set[asyncio.Task[None]] = set()

    @property
    def calls(self) -> int:
        """Calls that wait or run."""
        return len(self._held)

    # What the client says ------------------------------------------------------------------------------------------

    def handle(self, message: dict[str, Any]) -> None:
        """Act on one message; raises `ProtocolError`."""
        self._heard = time.monotonic()
        handler = self._handlers.get(str(message.get("op")))
        if handler is None:
            raise ProtocolError(f"there is no {message.get('op')!r} in this protocol")
        try:
            handler(message)
        except (TypeError, ValueError, KeyError) as error:
            raise ProtocolError(f"{message.get('op')!r} is wrong: {error!r}") from error

    def _syscall(self, message: dict[str, Any]) -> None:
        number = int(message["id"])
        held = self._held[number] = Held(self, number)
        try:
            call = self._named(decode_call(message["call"]))
        except ProtocolError as error:
            self._fail(held, CoreError(f"the call cannot be read: {error}"))
            return
        inside = tuple(
            task for one in message.get("inside", ()) if (other := self._held.get(int(one))) and (task := other.task)
        )
        loop = int(message.get("loop") or 0)
        caller = Caller(call.agent, inside, (self.number, loop) if loop else 0)
        blocks = bool(message.get("blocks")) and loop != 0
        if self._takes_time(call):
            task = self._loop.create_task(self._admit_elsewhere(held, call, caller, blocks))
            self._admitting.add(task)
            task.add_done_callback(self._admitting.discard)
        else:
            self._admit(held, call, caller, blocks)

    def _takes_time(self, call: Call) -> bool:
        """Whether a check or a core's preparation may hold up the loop; a lease is a few look-ups."""
        if self.kernel.checks:
            return True
        return isinstance(call, LLMCall) and not self.kernel.router.core_for(call).lease

    def _named(self, call: Call) -> Call:
        """Agents of one name in two processes are two; a process's calls that name nobody are its own."""
        agent = call.agent or Agent(name=self.peer.program)
        instance = f"{self.peer.name}/{agent.instance}" if agent.instance else self.peer.name
        mine = replace(agent, instance=instance)
        self._agents[mine] = None
        return replace(call, agent=mine)

    def _admit(self, held: Held, call: Call, caller: Caller, blocks: bool) -> None:
        try:
            held.grant = self.kernel.admit(call, caller)
        except Exception as error:  # noqa: BLE001 - failures are replies
            self._fail(held, error)
            return
        held.submit(blocks)

    async def _admit_elsewhere(self, held: Held, call: Call, caller: Caller, blocks: bool) -> None:
        try:
            grant = await self._loop.run_in_executor(self._pool, lambda: self.kernel.admit(call, caller))
        except Exception as error:  # noqa: BLE001 - failures are replies
            self._fail(held, error)
            return
        if self._held.get(held.number) is held:  # it was not cancelled meanwhile
            held.grant = grant
            held.submit(blocks)
        elif self._gone and call.agent is not None:
            self.kernel.exit((call.agent,))

    def _fail(self, held: Held, error: BaseException) -> None:
        self.forget(held)
        failure = error if isinstance(error, SyscallError) else CoreError(f"the call was refused: {error!r}")
        self.post(self.failed(held, failure))

    def failed(self, held: Held, error: BaseException) -> dict[str, Any]:
        """The message that a call failed; it says whether the kernel itself has ended, since then the next one will too."""
        return {"op": "failed", "id": held.number, "error": encode_error(error), "ended": self.kernel.closed}

    def _cancel(self, message: dict[str, Any]) -> None:
        held = self._held.pop(int(message["id"]), None)
        if held is not None:
            held.withdraw("the caller left")

    def _release(self, message: dict[str, Any]) -> None:
        held = self._held.pop(int(message["id"]), None)
        if held is not None and held.grant is not None:
            if message.get("usage") is not None:
                held.grant.report(decode_usage(message["usage"]))
            error = message.get("error")
            held.grant.release(None if error is None else decode_error(error))

    def _first_token(self, message: dict[str, Any]) -> None:
        held = self._held.get(int(message["id"]))
        if held is not None and held.grant is not None:
            held.grant.first_token()

    def _push_back(self, message: dict[str, Any]) -> None:
        held = self._held.get(int(message["id"]))
        if held is not None:
            retry_after = message.get("retry_after")
            wait = None if retry_after is None else float(retry_after)
            held.push_back(int(message["status"]), wait, anyway=bool(message.get("anyway")))

    def _more(self, message: dict[str, Any]) -> None:
        held = self._held.get(int(message["id"]))
        if held is not None:
            held.room += int(message["count"])
            self.pour(held)

    def _status(self, message: dict[str, Any]) -> None:
        self.post({"op": "status", "id": int(message["id"]), "status": encode_status(self.kernel.status())})

    def _pong(self, message: dict[str, Any]) -> None:
        """It is alive, which has been noted."""

    # What is said to it --------------------------------------------------------------------------------------------

    def post(self, message: dict[str, Any]) -> None:
        """Send a message; any thread, never blocks."""
        self._out.append(line(message))
        self._wake()

    def pour(self, held: Held) -> None:
        """Send what a served call has to say, as far as the client has room for it; any thread, never blocks."""
        self._streams.append(held)
        self._wake()

    def _wake(self) -> None:
        if self._woken:
            return
        self._woken = True
        if threading.get_ident() == self._thread:
            self._due.set()
            return
        try:
            self._loop.call_soon_threadsafe(self._due.set)
        except RuntimeError:  # the server is gone
            return

    async def due(self) -> bytes:
        """Wait until there is something to send, and take it; nothing when it is to be sent no more."""
        while not self._gone:
            self._due.clear()
            self._woken = False
            while self._streams:
                self._out.extend(line(message) for message in self._streams.popleft().poured())
            if self._out:
                count = len(self._out)
                return b"".join(self._out.popleft() for _ in range(count))
            await self._due.wait()
        return b""

    def sent(self) -> None:
        """Note that what was due is on its way."""
        if not self._out:
            self._empty.set()

    async def flushed(self) -> None:
        """Wait a moment until everything said so far is on its way."""
        self._empty.clear()
        try:
            await asyncio.wait_for(self._empty.wait(), 1.0)
        except asyncio.TimeoutError:
            return

    # Its end -------------------------------------------------------------------------------------------------------

    def forget(self, held: Held) -> None:
        """Take an ended call out."""
        if self._held.get(held.number) is held:
            del self._held[held.number]

    def lost(self) -> None:
        """Have the connection end."""
        self._gone = True
        self._due.set()

    def silent_for(self) -> float:
        """Seconds since its last word."""
        return time.monotonic() - self._heard

    def leave(self) -> None:
        """Give back at once all that the client held or waited for; idempotent."""
        self._gone = True
        held, self._held = list(self._held.values()), {}
        for one in held:
            one.withdraw(f"process {self.peer.name} is gone")
        self.kernel.exit(self._agents)
        self._agents.clear()
