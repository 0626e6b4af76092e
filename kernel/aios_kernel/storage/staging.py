"""Where files are written before they are moved into place, and what tells a dead writer's leftovers from a live one's."""

from __future__ import annotations

import itertools
import os
import secrets
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from aios_kernel.storage.jail import DIRECTORY, sync, write_all

if TYPE_CHECKING:
    from collections.abc import Generator
    from pathlib import Path

    from aios_kernel.storage.locks import Locks

__all__ = ["Staging", "signature"]


def signature(found: os.stat_result) -> str:
    """What tells one state of a file from another; renaming does not change it."""
    return f"{found.st_ino}:{found.st_mtime_ns}:{found.st_size}"


class Staging:
    """A directory of unfinished files. Each name begins with its writer's token, and a live writer holds a lock of that name."""

    def __init__(self, path: Path, locks: Locks, *, fsync: bool) -> None:
        path.mkdir(mode=0o700, exist_ok=True)
        self.fd = os.open(path, DIRECTORY)
        self._locks = locks
        self._fsync = fsync
        self._begin()

    def _begin(self) -> None:
        self._token = secrets.token_hex(8)
        self._count = itertools.count()
        self._alive = self._locks.attempt(f"writer:{self._token}")

    @contextmanager
    def written(self, data: bytes) -> Generator[tuple[str, os.stat_result], None, None]:
        """Write a whole file and hand out its name and status; whoever does not move it away has it removed."""
        name = f"{self._token}-{next(self._count)}"
        fd = os.open(name, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600, dir_fd=self.fd)
        try:
            try:
                write_all(fd, data)
                sync(fd, wanted=self._fsync)
                found = os.fstat(fd)
            finally:
                os.close(fd)
            yield name, found
        finally:
            with suppress(FileNotFoundError):
                os.unlink(name, dir_fd=self.fd)

    def clean(self) -> int:
        """Remove what dead writers left; the number of files."""
        left: dict[str, list[str]] = {}
        for name in os.listdir(self.fd):  # noqa: PTH208 - by its descriptor
            left.setdefault(name.partition("-")[0], []).append(name)
        left.pop(self._token, None)
        removed = 0
        for token, names in left.items():
            lock = self._locks.attempt(f"writer:{token}")
            if lock is None:
                continue
            for name in names:
                with suppress(FileNotFoundError):
                    os.unlink(name, dir_fd=self.fd)
                    removed += 1
            self._locks.drop(lock)
        return removed

    def after_fork(self) -> None:
        """Write under a token of the child's own; its locks have been closed."""
        self._begin()

    def close(self) -> None:
        """Let others remove what is left."""
        if self._alive is not None:
            self._locks.drop(self._alive)
        os.close(self.fd)
