"""Versioned files of one store: every change is a version in the database first, then the file in its root."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from aios_kernel.errors import FileMissing, StorageError, VersionConflict
from aios_kernel.storage.jail import Jail, missing
from aios_kernel.storage.paths import joined
from aios_kernel.storage.records import Added, Change, Entry, Records, Version
from aios_kernel.storage.staging import Staging, signature

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

    from aios_kernel.storage.locks import Locks
    from aios_kernel.storage.objects import Objects
    from aios_kernel.storage.roots import Root

__all__ = ["MENDING", "POINTS", "Files", "Point"]

Point = str
#: Where a change can be cut short, in order; a hook is called at each.
POINTS: tuple[Point, ...] = ("begun", "stored", "staged", "committed", "placed", "settled", "collected", "indexed")
#: Where finishing such a change can itself be cut short.
MENDING: tuple[Point, ...] = ("mending", "mending staged", "mending placed")


@dataclass(frozen=True, slots=True)
class Files:
    """The files of every root. Changes of one file wait for one another; those of different files do not.

    A change is acknowledged once its version is in the database and the file in its place. A process that dies between
    the two leaves the entry `pending`, and whoever next holds the file's lock finishes the change. What others do to
    the files in a root is taken as it is found: it becomes a version "outside".
    """

    records: Records
    objects: Objects
    staging: Staging
    locks: Locks
    jail: Callable[[Root], Jail]
    clock: Callable[[], float]
    hook: Callable[[Point], None]
    changed: Callable[[Root, Entry, bytes | None], None]
    max_bytes: int

    def write(
        self,
        root: Root,
        parts: tuple[str, ...],
        data: bytes,
        *,
        agent: str,
        expected: int | None = None,
        append: bool = False,
        how: str = "write",
    ) -> Version:
        """Give a file a new content; `expected` is the version it must have now, 0 for none."""
        self._fits(len(data))
        with self._held(root, parts) as (jail, entry):
            _expect(entry, expected, parts)
            if append and entry is not None and not entry.deleted:
                data = jail.read(parts, self.max_bytes)[0] + data
                self._fits(len(data))
            return self._put(root, jail, parts, data, {"agent": agent, "how": how, "source": None})

    def read(self, root: Root, parts: tuple[str, ...]) -> tuple[bytes, Version]:
        """The content of a file and its version, which belong together."""
        path = joined(parts)
        with self.jail(root) as jail:
            entry = self.records.entry(root.id, path)
            if entry is not None and not entry.pending and not entry.deleted:
                # Without the lock: a file that is as its entry says is whole, since it is only ever replaced.
                data, status = jail.read(parts, self.max_bytes)
                version = self.records.version(entry, entry.version)
                if signature(status) == entry.signature and version is not None:
                    return data, version
        with self._held(root, parts) as (jail, entry):
            if entry is None or entry.deleted:
                raise missing(parts)
            version = self.records.version(entry, entry.version)
            if version is None:
                raise StorageError(f"the newest version of {path!r} is gone")
            return jail.read(parts, self.max_bytes)[0], version

    def read_version(self, root: Root, parts: tuple[str, ...], number: int) -> tuple[bytes, Version]:
        """The content of a version that is kept."""
        with self._held(root, parts) as (_, entry):
            return self._content(entry, parts, number)

    def history(self, root: Root, parts: tuple[str, ...]) -> list[Version]:
        """The versions that are kept, newest first; deleted files have theirs for a while."""
        with self._held(root, parts) as (_, entry):
            if entry is None:
                raise missing(parts)
            return self.records.versions(entry)

    def rollback(
        self,
        root: Root,
        parts: tuple[str, ...],
        choose: Callable[[list[Version]], Version],
        *,
        agent: str,
        expected: int | None = None,
    ) -> Version:
        """Give a file the content of a version again, as a new version; a rollback can be rolled back."""
        with self._held(root, parts) as (jail, entry):
            if entry is None:
                raise missing(parts)
            _expect(entry, expected, parts)
            chosen = choose(self.records.versions(entry))
            if chosen.sha is None:
                raise FileMissing(f"in version {chosen.number}, {joined(parts)!r} was deleted: choose another")
            data, _ = self._content(entry, parts, chosen.number)
            return self._put(root, jail, parts, data, {"agent": agent, "how": "rollback", "source": chosen.number})

    def delete(self, root: Root, parts: tuple[str, ...], *, agent: str, expected: int | None = None) -> Version:
        """Remove a file; its versions are kept for a while, and the deletion is one."""
        with self._held(root, parts) as (jail, entry):
            _expect(entry, expected, parts)
            if entry is None or entry.deleted:
                raise missing(parts)
            change = Change(
                root=root.id,
                path=joined(parts),
                sha=None,
                size=0,
                signature=entry.signature,
                pending=True,
                agent=agent,
                how="delete",
                source=None,
                time=self.clock(),
            )
            added = self.records.add(change)
            self.hook("committed")
            jail.remove(parts)
            self.hook("placed")
            self._settled(root, added, None)
            return added.version

    def show_index(self, root: Root, parts: tuple[str, ...]) -> None:
        """Have the index know a file as it is now."""
        with self._held(root, parts) as (_, entry):
            if entry is not None:
                data = None if entry.deleted else self._content(entry, parts, entry.version)[0]
                self.changed(root, entry, data)

    def mend(self, root: Root, parts: tuple[str, ...]) -> None:
        """Finish a change that was cut short."""
        with self._held(root, parts):
            pass

    @contextmanager
    def _held(self, root: Root, parts: tuple[str, ...]) -> Generator[tuple[Jail, Entry | None], None, None]:
        """Hold a file's lock, with its entry and its root in agreement."""
        path = joined(parts)
        with self.locks.hold(f"file:{root.id}:{path}"), self.jail(root) as jail:
            entry = self.records.entry(root.id, path)
            found = jail.look(parts)
            if entry is not None and entry.pending:
                entry = self._finish(root, jail, parts, entry)
                found = jail.look(parts)
            if found is not None and (entry is None or entry.deleted or entry.signature != signature(found)):
                entry = self._adopt(root, jail, parts)
            elif found is None and entry is not None and not entry.deleted:
                entry = self._adopt_absence(root, entry)
            yield jail, entry

    def _put(self, root: Root, jail: Jail, parts: tuple[str, ...], data: bytes, about: dict[str, Any]) -> Version:
        self.hook("begun")
        with self.objects.kept(data) as sha:
            self.hook("stored")
            with self.staging.written(data) as (temporary, status):
                self.hook("staged")
                change = Change(
                    root=root.id,
                    path=joined(parts),
                    sha=sha,
                    size=len(data),
                    signature=signature(status),
                    pending=True,
                    time=self.clock(),
                    **about,
                )
                added = self.records.add(change)
                self.hook("committed")
                jail.place(self.staging.fd, temporary, parts)
        self.hook("placed")
        self._settled(root, added, data)
        return added.version

    def _settled(self, root: Root, added: Added, data: bytes | None) -> None:
        self.records.settle(added.entry)
        self.hook("settled")
        for sha in added.dropped:
            self.objects.collect(sha, self.records.used)
        self.hook("collected")
        self.changed(root, added.entry, data)
        self.hook("indexed")

    def _finish(self, root: Root, jail: Jail, parts: tuple[str, ...], entry: Entry) -> Entry | None:
        """Make the root what the entry says, after a process died between the two."""
        found = jail.look(parts)
        self.hook("mending")
        as_said = found is not None and signature(found) == entry.signature
        data: bytes | None = None
        if entry.deleted:
            if as_said:
                jail.remove(parts)
        else:
            data, _ = self._content(entry, parts, entry.version)
            if not as_said:
                with self.staging.written(data) as (temporary, status):
                    self.records.settle(entry, signature(status))
                    self.hook("mending staged")
                    jail.place(self.staging.fd, temporary, parts)
        self.hook("mending placed")
        self.records.settle(entry)
        self.changed(root, entry, data)
        return self.records.entry(entry.root, entry.path)

    def _adopt(self, root: Root, jail: Jail, parts: tuple[str, ...]) -> Entry:
        """Make a version of what others wrote."""
        data, status = jail.read(parts, self.max_bytes)
        with self.objects.kept(data) as sha:
            added = self._outside(root, joined(parts), sha, len(data), signature(status))
        self._settled(root, added, data)
        return added.entry

    def _adopt_absence(self, root: Root, entry: Entry) -> Entry:
        added = self._outside(root, entry.path, None, 0, entry.signature)
        self._settled(root, added, None)
        return added.entry

    def _outside(self, root: Root, path: str, sha: str | None, size: int, signed: str) -> Added:
        change = Change(
            root=root.id,
            path=path,
            sha=sha,
            size=size,
            signature=signed,
            pending=False,
            agent="",
            how="outside",
            source=None,
            time=self.clock(),
        )
        return self.records.add(change)

    def _content(self, entry: Entry | None, parts: tuple[str, ...], number: int) -> tuple[bytes, Version]:
        version = self.records.version(entry, number) if entry else None
        if entry is None or version is None:
            raise FileMissing(f"version {number} of {joined(parts)!r} does not exist, or is not kept any more")
        if version.sha is None:
            raise FileMissing(f"in version {number}, {joined(parts)!r} was deleted")
        data = self.objects.get(version.sha)
        if data is None:
            raise StorageError(f"the content of version {number} of {joined(parts)!r} is gone from the store")
        return data, version

    def _fits(self, size: int) -> None:
        if size > self.max_bytes:
            raise StorageError(f"{size} bytes are more than the {self.max_bytes} a file may have")


def _expect(entry: Entry | None, expected: int | None, parts: tuple[str, ...]) -> None:
    now = 0 if entry is None or entry.deleted else entry.version
    if expected is not None and expected != now:
        raise VersionConflict(f"{joined(parts)!r} has version {now}, not {expected}: read it again before changing it")
