"""What is known of files: their versions, and the transaction that adds one and drops what is too old."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import sqlite3

    from aios_kernel.storage.database import Database

__all__ = ["Entry", "Records", "Version"]


@dataclass(frozen=True, slots=True)
class Version:
    """One state of a file; `sha` is None where the version is the file's deletion."""

    number: int
    sha: str | None
    size: int
    time: float
    agent: str
    how: str
    source: int | None

    def described(self) -> dict[str, Any]:
        """The version as plain data."""
        found: dict[str, Any] = {
            "version": self.number,
            "sha256": self.sha,
            "size": self.size,
            "time": self.time,
            "agent": self.agent,
            "how": self.how,
        }
        return found if self.source is None else {**found, "restored": self.source}


@dataclass(frozen=True, slots=True)
class Entry:
    """A file as the database knows it; `pending` until what its newest version says is so in the root."""

    id: int
    root: int
    path: str
    version: int
    deleted: bool
    signature: str
    pending: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """A version to be added."""

    root: int
    path: str
    sha: str | None
    size: int
    signature: str
    pending: bool
    agent: str
    how: str
    source: int | None
    time: float


@dataclass(frozen=True, slots=True)
class Added:
    """What a change made: the file, its new version, and contents that may have lost their last version."""

    entry: Entry
    version: Version
    dropped: tuple[str, ...]


ENTRY = "SELECT id, root, path, version, deleted, signature, pending FROM files"
UPSERT = """INSERT INTO files (root, path, version, deleted, signature, pending) VALUES (?, ?, 1, ?, ?, ?)
    ON CONFLICT (root, path) DO UPDATE SET version = version + 1, deleted = excluded.deleted,
    signature = excluded.signature, pending = excluded.pending"""
VERSION = "SELECT number, sha, size, time, agent, how, source FROM versions"


class Records:
    """Files and versions in the database. `keep` versions of each file; `keep_deleted` deleted files of each root."""

    def __init__(self, database: Database, *, keep: int, keep_deleted: int) -> None:
        self._database = database
        self._keep = keep
        self._keep_deleted = keep_deleted

    def entry(self, root: int, path: str) -> Entry | None:
        """The file of that path."""
        row = self._database.row(f"{ENTRY} WHERE root = ? AND path = ?", root, path)
        return _entry(row) if row else None

    def pending(self) -> list[Entry]:
        """Files whose last change was cut short."""
        return [_entry(row) for row in self._database.rows(f"{ENTRY} WHERE pending")]

    def stale(self) -> list[Entry]:
        """Files whose newest version is not in the index."""
        return [_entry(row) for row in self._database.rows(f"{ENTRY} WHERE indexed != version")]

    def versions(self, entry: Entry) -> list[Version]:
        """The versions that are kept, newest first."""
        rows = self._database.rows(f"{VERSION} WHERE file = ? ORDER BY number DESC", entry.id)
        return [Version(**dict(row)) for row in rows]

    def version(self, entry: Entry, number: int) -> Version | None:
        """One version, None where it is not kept."""
        row = self._database.row(f"{VERSION} WHERE file = ? AND number = ?", entry.id, number)
        return Version(**dict(row)) if row else None

    def known(self, root: int) -> dict[str, int]:
        """The version of each file that the root has."""
        rows = self._database.rows("SELECT path, version FROM files WHERE root = ? AND NOT deleted", root)
        return {row["path"]: row["version"] for row in rows}

    def signatures(self, root: int) -> dict[str, str]:
        """The state of each file of a root when it was last looked at."""
        rows = self._database.rows("SELECT path, signature FROM files WHERE root = ? AND NOT deleted", root)
        return {row["path"]: row["signature"] for row in rows}

    def note(self, root: int, path: str, signature: str | None) -> Entry:
        """Note a file of the host's, which has no versions; None for one that is gone."""
        return self._database.transact(lambda connection: _note(connection, root, path, signature))

    def forget(self, entry: Entry) -> None:
        """Drop a file of the host's that is gone, once the index has dropped it."""
        query = "DELETE FROM files WHERE id = ? AND deleted AND indexed = version"
        self._database.transact(lambda connection: connection.execute(query, (entry.id,)), durable=False)

    def used(self, sha: str) -> bool:
        """Whether a version has that content."""
        return self._database.row("SELECT 1 FROM versions WHERE sha = ? LIMIT 1", sha) is not None

    def contents(self) -> set[str]:
        """Every content that a version has."""
        return {row[0] for row in self._database.rows("SELECT DISTINCT sha FROM versions WHERE sha IS NOT NULL")}

    def add(self, change: Change) -> Added:
        """Add a version, durably, and drop those that are too old."""
        return self._database.transact(lambda connection: self._add(connection, change))

    def settle(self, entry: Entry, signature: str | None = None) -> None:
        """Note that the root is as the newest version says; with a signature, that it is about to be."""
        if signature is not None:
            query, values = "UPDATE files SET signature = ? WHERE id = ? AND version = ?", (signature,)
        else:
            query, values = "UPDATE files SET pending = 0 WHERE id = ? AND version = ?", ()
        self._database.transact(
            lambda connection: connection.execute(query, (*values, entry.id, entry.version)),
            durable=signature is not None,
        )

    def indexed(self, entry: Entry) -> None:
        """Note that the index has the newest version."""
        query = "UPDATE files SET indexed = ? WHERE id = ?"
        self._database.transact(lambda connection: connection.execute(query, (entry.version, entry.id)), durable=False)

    def forget_index(self) -> None:
        """Note that the index has nothing."""
        self._database.transact(lambda connection: connection.execute("UPDATE files SET indexed = 0"))

    def _add(self, connection: sqlite3.Connection, change: Change) -> Added:
        connection.execute(UPSERT, (change.root, change.path, change.sha is None, change.signature, change.pending))
        row = connection.execute(f"{ENTRY} WHERE root = ? AND path = ?", (change.root, change.path)).fetchone()
        entry = _entry(row)
        version = Version(entry.version, change.sha, change.size, change.time, change.agent, change.how, change.source)
        connection.execute(
            "INSERT INTO versions (file, number, sha, size, time, agent, how, source) VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            (
                entry.id,
                version.number,
                version.sha,
                version.size,
                version.time,
                version.agent,
                version.how,
                version.source,
            ),
        )
        dropped = _drop(connection, "file = ? AND number <= ?", entry.id, version.number - self._keep)
        if entry.deleted:
            dropped |= self._forget(connection, change.root)
        return Added(entry, version, tuple(dropped))

    def _forget(self, connection: sqlite3.Connection, root: int) -> set[str]:
        """Drop the files of a root that were deleted before the last so many."""
        oldest = connection.execute(
            """SELECT files.id FROM files JOIN versions ON file = files.id AND number = version
               WHERE root = ? AND deleted AND NOT pending ORDER BY time DESC, files.id DESC LIMIT -1 OFFSET ?""",
            (root, self._keep_deleted),
        ).fetchall()
        dropped: set[str] = set()
        for (file,) in oldest:
            dropped |= _drop(connection, "file = ?", file)
            connection.execute("DELETE FROM files WHERE id = ?", (file,))
        return dropped


def _note(connection: sqlite3.Connection, root: int, path: str, signature: str | None) -> Entry:
    connection.execute(UPSERT, (root, path, signature is None, signature or "", False))
    return _entry(connection.execute(f"{ENTRY} WHERE root = ? AND path = ?", (root, path)).fetchone())


def _drop(connection: sqlite3.Connection, where: str, *values: Any) -> set[str]:
    rows = connection.execute(f"SELECT sha FROM versions WHERE sha IS NOT NULL AND {where}", values).fetchall()  # noqa: S608
    connection.execute(f"DELETE FROM versions WHERE {where}", values)  # noqa: S608 - our own words, no input
    return {row[0] for row in rows}


def _entry(row: sqlite3.Row) -> Entry:
    return Entry(
        row["id"],
        row["root"],
        row["path"],
        row["version"],
        bool(row["deleted"]),
        row["signature"],
        bool(row["pending"]),
    )
