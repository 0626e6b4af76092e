"""Contents by their SHA-256: each is stored once, however many versions of however many files have it."""

from __future__ import annotations

import hashlib
import os
from contextlib import contextmanager
from typing import TYPE_CHECKING

from aios_kernel.errors import StorageError
from aios_kernel.storage.jail import DIRECTORY, sync

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator
    from pathlib import Path

    from aios_kernel.storage.locks import Locks
    from aios_kernel.storage.staging import Staging

__all__ = ["Objects"]


class Objects:
    """The contents of versions. One is removed only while its lock shows that nobody is about to refer to it."""

    def __init__(self, path: Path, staging: Staging, locks: Locks, *, fsync: bool) -> None:
        self._path = path
        self._staging = staging
        self._locks = locks
        self._fsync = fsync
        path.mkdir(mode=0o700, exist_ok=True)
        for number in range(256):
            (path / f"{number:02x}").mkdir(mode=0o700, exist_ok=True)
        for folder in (path, path.parent):
            fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            sync(fd, wanted=fsync)
            os.close(fd)

    @contextmanager
    def kept(self, data: bytes) -> Generator[str, None, None]:
        """Store a content; it is not removed before the block ends, and after that not while a version refers to it."""
        sha = hashlib.sha256(data).hexdigest()
        with self._locks.hold(f"object:{sha}", shared=True):
            if not self._has(sha, len(data)):
                with self._staging.written(data) as (name, _), self._folder(sha) as folder:
                    os.rename(name, sha[2:], src_dir_fd=self._staging.fd, dst_dir_fd=folder)
                    sync(folder, wanted=self._fsync)
            yield sha

    def get(self, sha: str) -> bytes | None:
        """The content, checked against its name; None where it is not stored."""
        try:
            data = self._file(sha).read_bytes()
        except FileNotFoundError:
            return None
        if hashlib.sha256(data).hexdigest() != sha:
            raise StorageError(f"the stored content {sha[:12]} is damaged: it is not what was written")
        return data

    def collect(self, sha: str, used: Callable[[str], bool], *, wait: bool = True) -> bool:
        """Remove a content unless it is `used`; without `wait`, also not while somebody has its lock."""
        lock = self._locks.attempt(f"object:{sha}")
        if lock is None:
            if not wait:
                return False
            with self._locks.hold(f"object:{sha}"):
                return self._remove(sha, used)
        try:
            return self._remove(sha, used)
        finally:
            self._locks.drop(lock)

    def __iter__(self) -> Iterator[str]:
        for folder in sorted(self._path.iterdir()):
            for file in folder.iterdir():
                yield folder.name + file.name

    def _remove(self, sha: str, used: Callable[[str], bool]) -> bool:
        if used(sha):
            return False
        self._file(sha).unlink(missing_ok=True)
        return True

    def _has(self, sha: str, size: int) -> bool:
        try:
            return self._file(sha).stat().st_size == size
        except FileNotFoundError:
            return False

    @contextmanager
    def _folder(self, sha: str) -> Generator[int, None, None]:
        fd = os.open(self._path / sha[:2], DIRECTORY)
        try:
            yield fd
        finally:
            os.close(fd)

    def _file(self, sha: str) -> Path:
        return self._path / sha[:2] / sha[2:]
