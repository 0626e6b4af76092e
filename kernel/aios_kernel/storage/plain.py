"""Trees of plain files: listing them, deleting them, and taking them in from and out to the host."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import TYPE_CHECKING, Any

from aios_kernel.errors import StorageError, SyscallError
from aios_kernel.storage.jail import Jail, write_all
from aios_kernel.storage.paths import joined, parts_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from aios_kernel.storage.roots import Root
    from aios_kernel.storage.store import Store

__all__ = ["delete_tree", "export_files", "import_files", "listed"]

PARTS = tuple[str, ...]


def listed(store: Store, root: Root, parts: PARTS, *, deep: bool) -> Iterator[dict[str, Any]]:
    """Describe what lies below a directory, in the order of names; a file describes itself alone."""
    known = store.records.known(root.id)
    with store.roots.jail(root) as jail:
        for below, status in _below(jail, parts, deep=deep):
            path = joined(below)
            if stat.S_ISDIR(status.st_mode):
                yield {"path": path, "kind": "directory"}
            else:
                found = {"path": path, "kind": "file", "size": status.st_size, "modified": status.st_mtime}
                yield {**found, "version": known.get(path, 0)}


def delete_tree(store: Store, root: Root, parts: PARTS, agent: str, *, recursive: bool) -> int:
    """Delete a directory, with what is in it where `recursive` says so; the number of files."""
    with store.roots.jail(root) as jail:
        found = list(jail.walk(parts, deep=True))
        if found and not recursive:
            raise StorageError(f"directory {joined(parts)!r} is not empty: delete it with recursive")
        files = [below for below, status in found if not stat.S_ISDIR(status.st_mode)]
        for below in files:
            store.files.delete(root, below, agent=agent)
        for below, status in reversed(found):
            if stat.S_ISDIR(status.st_mode):
                jail.remove_directory(below)
        if parts:
            jail.remove_directory(parts)
        return len(files)


def import_files(store: Store, root: Root, source: str | os.PathLike[str], parts: PARTS) -> dict[str, Any]:
    """Write every plain file below a directory of the host into a root; links and special files are left out."""
    taken, skipped = 0, []
    with Jail(-1, os.fspath(source), follow=True) as jail:
        for below, status in jail.walk((), deep=True):
            if stat.S_ISDIR(status.st_mode):
                continue
            try:
                data, _ = jail.read(below, store.files.max_bytes)
                store.files.write(root, parts_of(joined((*parts, *below))), data, agent="", how="import")
                taken += 1
            except SyscallError as error:
                skipped.append({"path": joined(below), "reason": str(error)})
    return {"files": taken, "skipped": skipped}


def export_files(store: Store, root: Root, parts: PARTS, destination: str | os.PathLike[str]) -> dict[str, Any]:
    """Write every file below a path into a directory of the host; a file that is there already is an error."""
    Path(destination).mkdir(parents=True, exist_ok=True)
    written = 0
    with store.roots.jail(root) as jail, Jail(-1, os.fspath(destination), follow=True) as out:
        for below, status in _below(jail, parts, deep=True):
            if stat.S_ISDIR(status.st_mode):
                out.make_directory(below)
                continue
            data, _ = jail.read(below, store.files.max_bytes)
            with out.directory(below[:-1], create=True) as folder:
                _write_new(folder, below, data)
            written += 1
    return {"files": written}


def _below(jail: Jail, parts: PARTS, *, deep: bool) -> Iterator[tuple[PARTS, os.stat_result]]:
    if parts:
        try:
            found = jail.look(parts)
        except StorageError:  # a directory
            found = None
        if found is not None:
            yield parts, found
            return
    yield from jail.walk(parts, deep=deep)


def _write_new(folder: int, parts: PARTS, data: bytes) -> None:
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    try:
        fd = os.open(parts[-1], flags, 0o600, dir_fd=folder)
    except FileExistsError:
        raise StorageError(f"{joined(parts)!r} is at the destination already") from None
    try:
        write_all(fd, data)
        os.fsync(fd)
    finally:
        os.close(fd)
