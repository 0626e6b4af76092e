"""The client's side of the gate: a kernel in another process, as adapters and people see it."""

from __future__ import annotations

import atexit
import os
import threading
import weakref
from typing import TYPE_CHECKING

from aios_adapters.remote.autostart import started
from aios_adapters.remote.connection import Connection
from aios_adapters.remote.grants import RemoteSyscall
from aios_kernel import address as addresses
from aios_kernel.errors import KernelClosed
from aios_kernel.protocol import decode_status

if TYPE_CHECKING:
    from aios_kernel.abi import Call
    from aios_kernel.kernel import KernelStatus

__all__ = ["RemoteKernel"]


class RemoteKernel:
    """A kernel for several processes; it implements `aios_kernel.gate.Gate`.

    `where` is "unix:PATH", "tcp:HOST:PORT", or "auto": the user's own server, started where none answers. There is one
    connection, made at the first call and made anew at the next call after it broke. A forked child has its own.
    With `on_loss` "run", a refused attempt whose kernel died is answered as without a kernel, instead of raising.
    Raises `ConfigError` for what is no address; calls raise `KernelLost` and `KernelRefused`. Thread-safe.
    """

    def __init__(self, where: str, *, on_loss: str = "raise") -> None:
        self.address = addresses.parse(where)
        self.closed = False
        self.runs_on = on_loss == "run"
        self._auto = where == "auto"
        self._connections: list[Connection] = []  # the last one is in use; others end with what they granted
        self._lock = threading.RLock()
        _kernels.add(self)

    def syscall(self, call: Call) -> RemoteSyscall:
        """Prepare the entry for one call, for `with` or `async with`; nothing happens before it is entered."""
        return RemoteSyscall(self, call)

    def status(self) -> KernelStatus:
        """Describe the kernel: queues, agents of every process, syscalls so far."""
        ticket = self.connection().open()
        ticket.connection.send({"op": "status", "id": ticket.number})
        try:
            return decode_status(ticket.turn()["status"])
        finally:
            ticket.connection.end(ticket)

    def close(self) -> None:
        """End the connection: wake every waiter with `KernelClosed`, give every grant back; idempotent."""
        self.closed = True
        for connection in list(self._connections):
            connection.close()

    def renew(self) -> None:
        """Begin afresh in a forked child: the connection and what it granted are the parent's."""
        self._lock = threading.RLock()
        connections, self._connections = self._connections, []
        for connection in connections:
            connection.abandon()

    def connection(self) -> Connection:
        """The connection in use, or a new one; raises `KernelClosed` after `close()`."""
        if self.closed:
            message = "the kernel is closed: call aios_adapters.enable() again"
            raise KernelClosed(message)
        with self._lock:
            if not self._connections or _of_no_use(self._connections[-1]):
                alive = [one for one in self._connections if one.error is None]
                self._connections = [*alive, Connection(self.address, self._prepare)]
            return self._connections[-1]

    def ask_again(self, broken: Connection) -> bool:
        """Whether a call that was lost with its connection may be made on another; not after `close()`.

        One that was never welcomed is the end, but for the last moments of a killed server, whose socket still takes
        connections: where one may be started, it is.
        """
        return not self.closed and _of_no_use(broken) and (broken.welcomed or (self._auto and broken.reached))

    def _prepare(self) -> None:
        if self._auto:
            started(self.address)


def _of_no_use(connection: Connection) -> bool:
    """Whether no call can be granted there any more."""
    return connection.error is not None or connection.retiring


_kernels: weakref.WeakSet[RemoteKernel] = weakref.WeakSet()


def _close_all() -> None:
    for kernel in list(_kernels):
        kernel.close()


def _renew_all() -> None:
    for kernel in list(_kernels):
        kernel.renew()


atexit.register(_close_all)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_renew_all)
