"""A directory that no path leaves: every step is an open relative to the directory before it, and follows no link."""

from __future__ import annotations

import errno
import os
import stat
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from aios_kernel.errors import FileMissing, PathRefused, StorageError
from aios_kernel.storage.paths import joined

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator

__all__ = ["DIRECTORY", "Jail", "private", "sync", "write_all"]

DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
# Non-blocking, so that a pipe put in a file's place cannot hold the reader; no terminal is taken over.
FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY
PARTS = tuple[str, ...]


class Jail:
    """One root, held by its descriptor while the object is open.

    A link, a file with a second name, another file system, a device or a pipe anywhere on the way is refused. What
    is opened is looked at again through its descriptor, so that swapping a name between the look and the open
    changes nothing. Whoever may move directories on the host can move one that is in use.
    """

    def __init__(self, parent: int, folder: str, *, fsync: bool = True, follow: bool = False) -> None:
        flags = DIRECTORY & ~os.O_NOFOLLOW if follow else DIRECTORY
        try:
            self.fd = os.open(folder, flags, dir_fd=None if follow else parent)
        except OSError as error:
            raise StorageError(f"the root {folder!r} cannot be opened as a directory: {error.strerror}") from error
        self._device = os.fstat(self.fd).st_dev
        self._fsync = fsync

    def __enter__(self) -> Jail:  # noqa: PYI034 - Self is not in Python 3.10
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self.fd)

    @contextmanager
    def directory(self, parts: PARTS, *, create: bool = False) -> Generator[int, None, None]:
        """Open a directory, and make those that are missing where `create` says so."""
        fd = os.dup(self.fd)
        try:
            for depth, name in enumerate(parts):
                inner = self._step(fd, name, parts[: depth + 1], create=create)
                os.close(fd)
                fd = inner
            yield fd
        finally:
            os.close(fd)

    def look(self, parts: PARTS) -> os.stat_result | None:
        """What the regular file there is; None where there is nothing. Raises for anything else."""
        try:
            with self.directory(parts[:-1]) as parent:
                return self._look(parent, parts)
        except FileMissing:
            return None

    def is_directory(self, parts: PARTS) -> bool:
        """Whether a path is a directory's; false where nothing is."""
        with suppress(FileMissing), self.directory(parts[:-1]) as parent, suppress(FileNotFoundError):
            return stat.S_ISDIR(os.stat(parts[-1], dir_fd=parent, follow_symlinks=False).st_mode)
        return False

    @contextmanager
    def file(self, parts: PARTS) -> Generator[int, None, None]:
        """Open a regular file for reading."""
        with self.directory(parts[:-1]) as parent:
            if self._look(parent, parts) is None:
                raise missing(parts)
            try:
                fd = os.open(parts[-1], FILE, dir_fd=parent)
            except FileNotFoundError as error:
                raise missing(parts) from error
            except OSError as error:
                raise PathRefused(f"{joined(parts)!r} changed while it was opened: {error.strerror}") from error
        try:
            self._check(os.fstat(fd), parts)
            yield fd
        finally:
            os.close(fd)

    def read(self, parts: PARTS, limit: int) -> tuple[bytes, os.stat_result]:
        """The bytes of a regular file, and what it was when they were read."""
        with self.file(parts) as fd:
            found = os.fstat(fd)
            if found.st_size > limit:
                raise StorageError(
                    f"{joined(parts)!r} has {found.st_size} bytes, more than the {limit} a file may have"
                )
            pieces: list[bytes] = []
            while piece := os.read(fd, 2**20):
                pieces.append(piece)
            return b"".join(pieces), found

    def place(self, staging: int, temporary: str, parts: PARTS) -> None:
        """Move a finished file in from the staging directory, at once and durably; directories are made as needed."""
        for attempt in range(8):
            with self.directory(parts[:-1], create=True) as parent:
                try:
                    os.rename(temporary, parts[-1], src_dir_fd=staging, dst_dir_fd=parent)
                except FileNotFoundError:  # the directory was removed meanwhile: make it anew
                    if attempt == 7:
                        raise
                    continue
                except OSError as error:
                    raise StorageError(f"{joined(parts)!r} cannot be put in its place: {error.strerror}") from error
                self._sync(parent)
                return

    def remove(self, parts: PARTS) -> None:
        """Remove a file's name, durably; nothing there is as good."""
        with suppress(FileMissing), self.directory(parts[:-1]) as parent:
            with suppress(FileNotFoundError):
                os.unlink(parts[-1], dir_fd=parent)
            self._sync(parent)

    def make_directory(self, parts: PARTS) -> bool:
        """Make a directory and those above it; False where it was there."""
        with self.directory(parts[:-1], create=True) as parent:
            try:
                os.mkdir(parts[-1], 0o700, dir_fd=parent)
            except FileExistsError:
                os.close(self._step(parent, parts[-1], parts, create=False))
                return False
            self._sync(parent)
            return True

    def remove_directory(self, parts: PARTS) -> None:
        """Remove an empty directory."""
        with self.directory(parts[:-1]) as parent:
            try:
                os.rmdir(parts[-1], dir_fd=parent)
            except FileNotFoundError:
                return
            except OSError as error:
                raise StorageError(f"directory {joined(parts)!r} cannot be removed: {error.strerror}") from error
            self._sync(parent)

    def walk(self, parts: PARTS, *, deep: bool) -> Iterator[tuple[PARTS, os.stat_result]]:
        """What lies below a directory, sorted, directories before what is in them; links and special files are left out."""
        with self.directory(parts) as fd, os.scandir(fd) as entries:
            found = sorted((entry.name, entry.stat(follow_symlinks=False)) for entry in _present(entries))
        for name, status in found:
            below = (*parts, name)
            if stat.S_ISREG(status.st_mode) or stat.S_ISDIR(status.st_mode):
                yield below, status
            if deep and stat.S_ISDIR(status.st_mode):
                with suppress(FileMissing, PathRefused):
                    yield from self.walk(below, deep=True)

    def _step(self, parent: int, name: str, so_far: PARTS, *, create: bool) -> int:
        try:
            fd = os.open(name, DIRECTORY, dir_fd=parent)
        except FileNotFoundError as error:
            if not create:
                raise missing(so_far) from error
            with suppress(FileExistsError):
                os.mkdir(name, 0o700, dir_fd=parent)
                self._sync(parent)
            return self._step(parent, name, so_far, create=False)
        except OSError as error:
            raise _not_a_directory(parent, name, so_far, error) from error
        if os.fstat(fd).st_dev != self._device:
            os.close(fd)
            raise PathRefused(f"{joined(so_far)!r} is another file system mounted in the root")
        return fd

    def _look(self, parent: int, parts: PARTS) -> os.stat_result | None:
        try:
            found = os.stat(parts[-1], dir_fd=parent, follow_symlinks=False)
        except FileNotFoundError:
            return None
        self._check(found, parts)
        return found

    def _check(self, found: os.stat_result, parts: PARTS) -> None:
        if stat.S_ISDIR(found.st_mode):
            raise StorageError(f"{joined(parts)!r} is a directory")
        if stat.S_ISLNK(found.st_mode):
            raise PathRefused(f"{joined(parts)!r} is a symbolic link, and links are not followed")
        if not stat.S_ISREG(found.st_mode):
            raise PathRefused(f"{joined(parts)!r} is a device, pipe or socket, not a file")
        if found.st_nlink > 1 or found.st_dev != self._device:
            raise PathRefused(f"{joined(parts)!r} has a second name or lies elsewhere: hard links are not followed")

    def _sync(self, fd: int) -> None:
        if self._fsync:
            os.fsync(fd)


def _present(entries: Iterator[os.DirEntry[str]]) -> Iterator[os.DirEntry[str]]:
    for entry in entries:
        with suppress(FileNotFoundError, UnicodeEncodeError):
            entry.name.encode()  # a name that is no text cannot be asked for either
            entry.stat(follow_symlinks=False)
            yield entry


def missing(parts: PARTS) -> FileMissing:
    """The error of a path that leads nowhere."""
    return FileMissing(f"there is no {joined(parts)!r}")


def _not_a_directory(parent: int, name: str, so_far: PARTS, error: OSError) -> Exception:
    with suppress(OSError):
        if stat.S_ISLNK(os.stat(name, dir_fd=parent, follow_symlinks=False).st_mode):
            return PathRefused(f"{joined(so_far)!r} is a symbolic link, and links are not followed")
    if error.errno in {errno.ENOTDIR, errno.ELOOP}:
        return StorageError(f"{joined(so_far)!r} is not a directory")
    return StorageError(f"directory {joined(so_far)!r} cannot be opened: {error.strerror}")


def private(path: str) -> None:
    """Make a file that only its user can open, unless it is there."""
    os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600))


def write_all(fd: int, data: bytes) -> None:
    """Write everything, however many writes it takes."""
    view = memoryview(data)
    while view:
        view = view[os.write(fd, view) :]


def sync(fd: int, *, wanted: bool = True) -> None:
    """Have the disk keep what was written, where that is wanted."""
    if wanted:
        os.fsync(fd)
