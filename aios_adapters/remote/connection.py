"""The connection of this process to a kernel's server, and the one thread that reads and writes it.

Nobody else touches the socket, so no call of the program ever waits for a slow server in a place where it cannot be
woken, and a finaliser or a signal handler may send at any moment: a message is put on a deque, and a byte into a pipe.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import select
import socket
import struct
import sys
import threading
from collections import deque
from pathlib import Path
from typing import TYPE_CHECKING, Any

from aios_adapters.remote.http import END, Answer, chunk, head
from aios_adapters.remote.ticket import Ticket
from aios_kernel.address import read_token
from aios_kernel.errors import KernelClosed, KernelLost, KernelRefused, SyscallError
from aios_kernel.protocol import VERSION, Lines, ProtocolError, decode_error, line

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from aios_kernel.address import Address

__all__ = ["Connection", "lost"]

WITHIN = 10  # seconds to connect and be welcomed
PIECE = 262_144  # bytes read at once


def lost(address: Address, what: str) -> KernelLost:
    """The error of calls whose kernel is not there."""
    return KernelLost(
        f"the kernel at {address} {what}: start it (`aios serve`) and call again, or call enable() without kernel= for "
        f"one in this process; on_kernel_loss='run' makes calls without a kernel meanwhile"
    )


class Connection:
    """One connection, used once. `open` and `send` may be called from any thread and never block."""

    def __init__(self, address: Address, prepare: Callable[[], object]) -> None:
        self.error: SyscallError | None = None  # set once nothing will come any more
        self.reached = self.welcomed = False
        self.retiring = False  # the kernel is being shut down: what it granted goes on, but it grants no more
        self._address, self._prepare = address, prepare
        self._tickets: dict[int, Ticket] = {}
        self._numbers = itertools.count(1)
        self._out: deque[bytes] = deque()
        self._pending = b""
        self._sock: socket.socket | None = None
        self._closing = False
        self._wake_read, self._wake_write = socket.socketpair()
        self._wake_read.setblocking(False)
        self._wake_write.setblocking(False)
        self._answer, self._lines = Answer(), Lines()
        self._thread = threading.Thread(target=self._run, name="aios-kernel", daemon=True)
        self._thread.start()

    # For calls -----------------------------------------------------------------------------------------------------

    def open(self) -> Ticket:
        """Make the record of a new call."""
        ticket = Ticket(self, next(self._numbers))
        self._tickets[ticket.number] = ticket
        if self.error is not None:  # nobody may be left to tell it
            ticket.put(self.error)
        return ticket

    def is_open(self, ticket: Ticket) -> bool:
        """Whether the call has neither ended nor been given back."""
        return ticket.number in self._tickets

    def end(self, ticket: Ticket) -> bool:
        """Take the call out; False where that has been done."""
        return self._tickets.pop(ticket.number, None) is not None

    def judged(self, error: BaseException, *, ended: bool) -> BaseException:
        """The error of a call as this process is to see it: there, a kernel is lost that has ended elsewhere."""
        if not ended or not isinstance(error, KernelClosed):
            return error
        self.retiring = True
        return lost(self._address, f"is being shut down ({error})")

    def send(self, message: Mapping[str, Any]) -> None:
        """Have a message sent."""
        self._out.append(line(message))
        self._wake()

    def close(self) -> None:
        """Send what is due, give everything back, and wake every waiter with `KernelClosed`; idempotent."""
        self._closing = True
        self._wake()
        if threading.current_thread() is not self._thread:
            self._thread.join(2.0)

    def abandon(self) -> None:
        """Let go of it in a forked child: the connection is the parent's."""
        self.error = self.error or lost(self._address, "belongs to the parent process")
        self._tickets.clear()
        for sock in (self._sock, self._wake_read, self._wake_write):
            if sock is not None:
                sock.close()

    def _wake(self) -> None:
        # A full pipe wakes as well as one more byte would, and a closed one has nobody to be woken.
        with contextlib.suppress(OSError):
            self._wake_write.send(b"\0")

    # The thread ----------------------------------------------------------------------------------------------------

    def _run(self) -> None:
        try:
            error = self._live()
        except (OSError, ProtocolError) as problem:
            error = lost(self._address, f"cannot be reached ({_words(problem)})")
            if self.welcomed:
                error = lost(self._address, f"was lost ({_words(problem)})")
        except SyscallError as problem:
            error = problem
        except Exception as problem:  # noqa: BLE001 - no waiter may be left asleep
            error = lost(self._address, f"was lost ({problem!r})")
        if self._closing:
            error = KernelClosed("the kernel was closed before the call was granted")
        self._over(error)

    def _over(self, error: SyscallError) -> None:
        """Wake every waiter: from here on nobody else would."""
        self.error = error
        for ticket in list(self._tickets.values()):
            ticket.put(error)
        for sock in (self._sock, self._wake_read, self._wake_write):
            if sock is not None:
                sock.close()

    def _live(self) -> SyscallError:
        self._prepare()
        self._sock = sock = _connected(self._address)
        self.reached = True
        sock.settimeout(WITHIN)
        host = self._address.host or "localhost"
        hello = {"op": "hello", "version": VERSION, "pid": os.getpid(), "program": _program()}
        sock.sendall(head(f"[{host}]" if ":" in host else host, read_token(self._address)) + chunk(line(hello)))
        while not self.welcomed:
            self._received(sock.recv(PIECE))
        sock.setblocking(False)
        self._write(sock)
        while self._wait(sock):
            pass
        return KernelClosed("closed")

    def _wait(self, sock: socket.socket) -> bool:
        """Sleep until something can be done, and do it; False when that was the last."""
        for ready in _ready(sock, self._wake_read, writing=bool(self._pending)):
            if ready is self._wake_read:
                with contextlib.suppress(BlockingIOError):
                    ready.recv(4096)
            else:
                with contextlib.suppress(BlockingIOError):
                    self._received(sock.recv(PIECE))
        closing = self._closing
        self._write(sock)
        if closing and not self._out and not self._pending:
            sock.settimeout(1.0)
            sock.sendall(END)
        return not closing

    def _write(self, sock: socket.socket) -> None:
        if self._out:
            count = len(self._out)
            self._pending += chunk(b"".join(self._out.popleft() for _ in range(count)))
        while self._pending:
            try:
                sent = sock.send(self._pending)
            except BlockingIOError:
                return
            self._pending = self._pending[sent:]

    def _received(self, data: bytes) -> None:
        body = self._answer.feed(data)
        if self._answer.status not in {0, 200}:
            self._refused(body, ended=self._answer.ended or not data)
            return
        if not data:
            raise ConnectionError("the connection was closed by the other side")
        for message in self._lines.feed(body):
            self._handle(message)
        if self._answer.ended:
            raise ConnectionError("the connection was ended by the other side")

    def _refused(self, body: bytes, *, ended: bool) -> None:
        """Raise what an answer means that is no welcome, as soon as it can be told."""
        status = self._answer.status
        if status == 401:
            how = f"set AIOS_TOKEN, or make {self._address.token_file} readable"
            raise KernelRefused(f"the kernel at {self._address} wants another token: {how}")
        with contextlib.suppress(ProtocolError):
            for message in self._lines.feed(body):
                if message.get("op") == "closing":
                    error = decode_error(message.get("error"))
                    if isinstance(error, KernelClosed):
                        raise lost(self._address, f"is being shut down ({error})")
                    raise KernelRefused(f"the kernel at {self._address} refused this program: {error}")
        if ended:
            raise lost(self._address, f"answers {status} instead of a welcome, so it is something else")

    def _handle(self, message: dict[str, Any]) -> None:
        op = message.get("op")
        if op == "welcome":
            self.welcomed = True
        elif op == "ping":
            self.send({"op": "pong"})
        elif op == "closing":
            raise lost(self._address, f"has ended ({decode_error(message.get('error'))})")
        else:
            self._tell(message)

    def _tell(self, message: dict[str, Any]) -> None:
        """Pass a message on to the call it is about."""
        number = int(message.get("id", 0))
        ends = message.get("op") in {"failed", "reply", "status"}
        ticket = self._tickets.pop(number, None) if ends else self._tickets.get(number)
        if ticket is not None and not ticket.put(message) and self.end(ticket):
            # Its event loop is closed, so that nobody will ever take the grant.
            self.send({"op": "cancel", "id": number})


def _connected(address: Address) -> socket.socket:
    if not address.path:
        sock = socket.create_connection((address.host, address.port), WITHIN)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        return sock
    if not hasattr(socket, "AF_UNIX"):
        raise KernelRefused(f"this system has no Unix sockets: use tcp:HOST:PORT instead of {address}")
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    # Python's own timeout would make the connect fail at once when the server's queue is full, instead of waiting.
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, struct.pack("ll", WITHIN, 0))
    try:
        sock.connect(address.path)
    except BaseException:
        sock.close()
        raise
    return sock


def _ready(sock: socket.socket, wake: socket.socket, *, writing: bool) -> list[socket.socket]:
    """Wait for either socket; `select` alone cannot watch numbers above 1023."""
    if not hasattr(select, "poll"):
        readable, writable, _ = select.select([sock, wake], [sock] if writing else [], [])
        return [*readable, *writable]
    poller = select.poll()
    poller.register(sock, select.POLLIN | (select.POLLOUT if writing else 0))
    poller.register(wake, select.POLLIN)
    fired = {number for number, _ in poller.poll()}
    return [one for one in (wake, sock) if one.fileno() in fired]


def _words(problem: Exception) -> str:
    return (problem.strerror or str(problem)) if isinstance(problem, OSError) else str(problem)


def _program() -> str:
    """The name of this program, for people."""
    name = Path(sys.argv[0]).name if sys.argv else ""
    return name if name and name not in {"-c", "-m"} else "python"
