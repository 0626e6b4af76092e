"""The place where a server listens: one server per address, stale sockets taken over, nothing others can open."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import socket
import stat
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from aios_kernel.address import private_folder
from aios_kernel.errors import AiosError, ConfigError

if TYPE_CHECKING:
    from aios_kernel.address import Address

__all__ = ["AlreadyRunning", "Place"]


class AlreadyRunning(AiosError):
    """Another server listens there."""


class Place:
    """Hold an address: bound, and for a Unix socket locked, from `take` to `leave`. Nobody is answered before a server
    listens on `sock`.
    """

    def __init__(self, wanted: Address) -> None:
        self.address = wanted
        self.sock: socket.socket | None = None
        self._lock: int | None = None
        self._inode: tuple[int, int] | None = None

    def take(self) -> socket.socket:
        """Bind. Raises `AlreadyRunning`, and `ConfigError` for an address that nobody can listen on."""
        try:
            self.sock = self._take_path() if self.address.path else self._take_port()
        except BaseException:
            self.leave()
            raise
        return self.sock

    def leave(self) -> None:
        """Give the address back; idempotent."""
        if self.sock is not None:
            self.sock.close()
            self.sock = None
        path = self.address.path
        if self._inode is not None and path:
            with contextlib.suppress(OSError):
                found = os.stat(path, follow_symlinks=False)  # noqa: PTH116 - the socket itself
                if (found.st_dev, found.st_ino) == self._inode:
                    Path(path).unlink()
            self._inode = None
        if self._lock is not None:
            os.ftruncate(self._lock, 0)
            os.close(self._lock)  # the file stays: to delete a locked file is to let two servers in
            self._lock = None

    # A Unix socket

    def _take_path(self) -> socket.socket:
        path = Path(self.address.path)
        try:
            private_folder(path.parent)
            self._take_lock(path.with_suffix(".pid"))
            _clear(path)
            self.sock = sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            os.fchmod(sock.fileno(), 0o600)  # before anybody can connect
            sock.bind(str(path))
            path.chmod(0o600)
        except OSError as error:
            raise ConfigError(f"cannot listen on {self.address}: {error.strerror or error}") from error
        found = path.lstat()
        self._inode = (found.st_dev, found.st_ino)
        return sock

    def _take_lock(self, file: Path) -> None:
        lock = os.open(file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            pid = os.read(lock, 20).decode(errors="replace").strip()
            os.close(lock)
            who = f"process {pid}" if pid else "another process"
            raise AlreadyRunning(
                f"a server is already running on {self.address} ({who}): use it with "
                f"AIOS_KERNEL={self.address}, stop it with `kill {pid or 'PID'}`, or choose another --socket"
            ) from None
        os.ftruncate(lock, 0)
        os.write(lock, str(os.getpid()).encode())
        self._lock = lock

    # A TCP port

    def _take_port(self) -> socket.socket:
        address = self.address
        family = socket.AF_INET6 if ":" in address.host else socket.AF_INET
        self.sock = sock = socket.socket(family, socket.SOCK_STREAM)  # closed by whoever calls this, if it fails
        try:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            sock.bind((address.host, address.port))
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                raise AlreadyRunning(
                    f"something listens on {address} already: use it if it is a server of ours, or choose another port "
                    f"(0 means any free one)"
                ) from None
            raise ConfigError(f"cannot listen on {address}: {error.strerror or error}") from error
        self.address = replace(address, port=sock.getsockname()[1])
        return sock


def _clear(path: Path) -> None:
    """Remove what a server that died has left; refuse to remove anything else."""
    try:
        found = path.lstat()
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(found.st_mode):
        raise ConfigError(f"{path} exists and is no socket: choose another path")
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.settimeout(1.0)
        if probe.connect_ex(str(path)) == 0:
            raise AlreadyRunning(f"another program listens on {path}: choose another path")
    path.unlink()
