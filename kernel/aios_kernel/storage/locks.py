"""Locks by name, between threads and between processes, each as fine as its name: one byte of one file per name."""

from __future__ import annotations

import fcntl
import hashlib
import os
import struct
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING

from aios_kernel.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Generator

__all__ = ["Locks"]

SPACE = 2**62  # of names: two that share a byte are not expected to be met


class Locks:
    """Locks that the system gives back when their process ends, however it ends.

    They belong to an open file of their own (open file description locks), so that two threads, two managers and two
    processes exclude each other alike. Taking a name twice in one thread waits for ever: do not.
    """

    def __init__(self, path: str) -> None:
        if not hasattr(fcntl, "F_OFD_SETLKW"):
            raise ConfigError("the storage manager needs open file description locks, which this system does not have")
        self._path = path
        self._held: set[int] = set()
        self._guard = threading.Lock()

    @contextmanager
    def hold(self, name: str, *, shared: bool = False) -> Generator[None, None, None]:
        """Wait for a name and hold it for the block."""
        fd = self._take(name, fcntl.F_OFD_SETLKW, shared=shared)
        try:
            yield
        finally:
            self.drop(fd)

    def attempt(self, name: str) -> int | None:
        """Take a name if nobody has it; what comes back is for `drop`."""
        try:
            return self._take(name, fcntl.F_OFD_SETLK, shared=False)
        except (BlockingIOError, PermissionError):
            return None

    def drop(self, fd: int) -> None:
        """Give a name back."""
        with self._guard:
            self._held.discard(fd)
        # In words, since a forked child may hold a copy of the descriptor.
        fcntl.fcntl(fd, fcntl.F_OFD_SETLK, _request(fcntl.F_UNLCK, 0, 0))
        os.close(fd)

    def after_fork(self) -> None:
        """Close the parent's locks, which the child would keep alive beyond the parent."""
        self._guard = threading.Lock()
        for fd in self._held:
            os.close(fd)
        self._held.clear()

    def _take(self, name: str, command: int, *, shared: bool) -> int:
        offset = int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "big") % SPACE
        fd = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        try:
            fcntl.fcntl(fd, command, _request(fcntl.F_RDLCK if shared else fcntl.F_WRLCK, offset, 1))
        except BaseException:
            os.close(fd)
            raise
        with self._guard:
            self._held.add(fd)
        return fd


def _request(kind: int, start: int, length: int) -> bytes:
    """The system's `struct flock`; a length of 0 is to the end."""
    return struct.pack("hhqqi4x", kind, os.SEEK_SET, start, length, 0)
