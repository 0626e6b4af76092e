"""The HTTP protocol with what uvicorn leaves out: who the peer is, and bounds on how long a request's head may take."""

from __future__ import annotations

import json
import os
import socket
import struct
from typing import TYPE_CHECKING, Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from aios_kernel.wire import Problem

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable

__all__ = ["ABORT", "AFTERWARDS", "PEER", "ServerProtocol", "peer_of"]

PEER = "aios.peer"  # the request's extension that says who is at the other end of the connection
ABORT = "aios.abort"  # the extension that breaks the connection off
AFTERWARDS = "aios.afterwards"  # the extension with what is to be called once the connection is gone, by name
SETTLED = 1.0  # seconds after its end in which the calls of a connection are over too
HEAD_BYTES = 64 * 1024
HEAD_SECONDS = 20.0
_LOCAL_PEERCRED, _SOL_LOCAL = 0x001, 0  # macOS, sys/un.h


class ServerProtocol(HttpToolsProtocol):
    """Refuse other users on a Unix socket, requests without an end to their head, and peers that are gone."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # pyright: ignore[reportIncompatibleMethodOverride]
        """Begin a connection, and look who is at its other end."""
        super().connection_made(transport)
        self._head_bytes = 0
        self._head_ended = False
        self._head_timer: asyncio.TimerHandle | None = None
        self._peer: dict[str, Any] = {}
        self._stranger: Problem | None = None
        self._afterwards: dict[str, Callable[[], None]] = {}
        sock: Any = transport.get_extra_info("socket")
        if sock.family == socket.AF_UNIX:
            uid, pid = peer_of(sock)
            self._peer = {"uid": uid, "pid": pid}
            if uid not in {os.geteuid(), 0}:
                message = f"this socket belongs to user {os.geteuid()}, and you are user {uid}"
                self._stranger = Problem(403, message, "permission_error", "wrong_user")
        else:
            self._peer = {"host": self.client[0] if self.client else ""}
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)

    def data_received(self, data: bytes) -> None:
        """Take in a piece, unless the request's head has grown too long."""
        if self.transport.is_closing():
            return
        if self._stranger is not None:  # answered when it asks: before, it might never read the answer
            self._refuse(self._stranger)
            return
        if self._head_timer is None and not self._head_ended:
            self._head_timer = self.loop.call_later(HEAD_SECONDS, self._head_late)
        if not self._head_ended:
            self._head_bytes += len(data)
        super().data_received(data)
        if not self._head_ended and self._head_bytes > HEAD_BYTES and not self.transport.is_closing():
            message = f"the head of the request is longer than {HEAD_BYTES} bytes"
            self._refuse(Problem(431, message, "invalid_request_error", "head_too_long"))

    def connection_lost(self, exc: Exception | None) -> None:
        """End a connection."""
        self._stop_timer()
        super().connection_lost(exc)
        for callback in self._afterwards.values():
            self.loop.call_later(SETTLED, callback)

    def on_message_begin(self) -> None:
        """Begin a request."""
        super().on_message_begin()
        self._head_ended = False
        extensions: Any = self.scope.setdefault("extensions", {})
        extensions[PEER], extensions[AFTERWARDS] = self._peer, self._afterwards
        extensions[ABORT] = {"abort": self.transport.abort}

    def on_headers_complete(self) -> None:
        """Note that the head is complete."""
        self._head_ended, self._head_bytes = True, 0
        self._stop_timer()
        super().on_headers_complete()

    def _stop_timer(self) -> None:
        timer, self._head_timer = self._head_timer, None
        if timer is not None:
            timer.cancel()

    def _head_late(self) -> None:
        if not self.transport.is_closing():
            message = f"the head of the request did not come within {HEAD_SECONDS:g} seconds"
            self._refuse(Problem(408, message, "invalid_request_error", "timeout"))

    def _refuse(self, problem: Problem) -> None:
        """Answer by hand: there is no request yet that the application could answer."""
        body = json.dumps(problem.body()).encode()
        head = f"HTTP/1.1 {problem.status} Refused\r\ncontent-type: application/json\r\ncontent-length: {len(body)}\r\n"
        self.transport.write(head.encode() + b"connection: close\r\n\r\n" + body)
        self.transport.close()


def peer_of(sock: Any) -> tuple[int, int]:
    """Return user and process at the other end of a Unix socket; 0 for a process the system does not name."""
    if hasattr(socket, "SO_PEERCRED"):
        size = struct.calcsize("3i")
        pid, uid, _ = struct.unpack("3i", sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, size))
        return uid, pid
    # struct xucred: version, uid, and groups that do not matter here.
    _, uid = struct.unpack("II", sock.getsockopt(_SOL_LOCAL, _LOCAL_PEERCRED, 76)[:8])
    return uid, 0
