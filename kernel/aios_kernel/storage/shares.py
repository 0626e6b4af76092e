"""Who may do what where: owners and members, and capabilities that owners give, with rights and an end."""

from __future__ import annotations

import json
import secrets
from typing import TYPE_CHECKING, Any

from aios_kernel.errors import AccessDenied, FileMissing, StorageError
from aios_kernel.storage.paths import joined, parts_of
from aios_kernel.storage.roots import principal

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable, Sequence

    from aios_kernel.abi import Agent
    from aios_kernel.storage.database import Database
    from aios_kernel.storage.roots import Root, Roots

__all__ = ["RIGHTS", "Shares"]

RIGHTS = ("read", "write", "delete")
PARTS = tuple[str, ...]


class Shares:
    """The rights of agents. `allow(agent, right, root, path)` may decide first: True, False, or None for the rules here.

    An agent may do everything in its own root and in its groups' roots, read what the operator mounts, and do
    elsewhere what a capability says: given to it or a group of its own, for a path and what is below, until it ends
    or is revoked. Capabilities name their holder, so that one that is overheard is worth nothing.
    """

    def __init__(
        self,
        database: Database,
        roots: Roots,
        clock: Callable[[], float],
        allow: Callable[[Agent, str, str, str], bool | None] | None,
    ) -> None:
        self._database = database
        self._roots = roots
        self._clock = clock
        self._allow = allow

    def check(self, agent: Agent, right: str, root: Root, parts: PARTS) -> None:
        """Raise `AccessDenied` unless the agent has the right there."""
        decided = None if self._allow is None else self._allow(agent, right, root.label, joined(parts))
        if root.kind == "mount" and right != "read":
            raise AccessDenied(f"{root.label!r} is a directory of the host, which is only read")
        if decided is None:
            decided = self._owns(agent, root) or root.kind == "mount" or self._granted(agent, right, root, parts)
        if not decided:
            raise AccessDenied(
                f"agent {agent.name!r} may not {right} {joined(parts)!r} in {root.label!r}: it is not its own, and nobody "
                f"shares it with that right"
            )

    def give(
        self, agent: Agent, root: Root, parts: PARTS, to: str, rights: Sequence[str], seconds: float | None
    ) -> dict[str, Any]:
        """Make a capability; only owners and members may."""
        self.owned(agent, root)
        kind, name = principal(to, ("agent", "group"))
        unknown = [right for right in rights if right not in RIGHTS]
        if unknown or not rights:
            raise StorageError(f"rights are some of {', '.join(RIGHTS)}; not {', '.join(unknown) or 'none'}")
        if seconds is not None and not 0 < seconds < float("inf"):
            raise StorageError(f"a share lasts some seconds, not {seconds}")
        self.sweep()
        now = self._clock()
        values = (
            secrets.token_hex(8),
            root.id,
            joined(parts),
            f"{kind}:{name}",
            json.dumps(sorted(set(rights))),
            None if seconds is None else now + seconds,
            agent.name,
            now,
        )
        self._database.transact(
            lambda connection: connection.execute("INSERT INTO shares VALUES (?, ?, ?, ?, ?, ?, ?, ?)", values)
        )
        return self._told(self._row(values[0]))

    def revoke(self, agent: Agent, number: str) -> dict[str, Any]:
        """End a capability; only owners and members of its root may."""
        row = self._database.row("SELECT * FROM shares WHERE id = ?", number)
        root = self._roots.by_id(row["root"]) if row else None
        if row is None or root is None or not self._owns(agent, root):
            raise AccessDenied(f"agent {agent.name!r} has given no share {number!a}")
        self._database.transact(lambda connection: connection.execute("DELETE FROM shares WHERE id = ?", (number,)))
        return {**self._told(row), "revoked": True}

    def of(self, agent: Agent, own: Root) -> dict[str, list[dict[str, Any]]]:
        """The capabilities of an agent's own root, and those that it holds."""
        given = self._database.rows("SELECT * FROM shares WHERE root = ? ORDER BY created, rowid", own.id)
        held = self._held(agent, "ORDER BY created, rowid")
        return {"given": [self._told(row) for row in given], "held": [self._told(row) for row in held]}

    def sweep(self) -> None:
        """Forget what has ended."""
        query = "DELETE FROM shares WHERE expires <= ?"
        now = self._clock()
        if self._database.row("SELECT 1 FROM shares WHERE expires <= ?", now):
            self._database.transact(lambda connection: connection.execute(query, (now,)))

    def owned(self, agent: Agent, root: Root) -> None:
        """Raise `AccessDenied` unless the root is the agent's own or a group's of its own."""
        if not self._owns(agent, root):
            raise AccessDenied(
                f"agent {agent.name!r} cannot share, or see the shares of, what is in {root.label!r}: it is not its own"
            )

    def _owns(self, agent: Agent, root: Root) -> bool:
        if root.kind == "agent":
            return root.name == agent.name
        return root.kind == "group" and self._roots.member(agent, root.name)

    def _granted(self, agent: Agent, right: str, root: Root, parts: PARTS) -> bool:
        rows = self._held(agent, "AND root = ?", root.id)
        now = self._clock()
        return any(
            right in json.loads(row["rights"])
            and parts[: len(parts_of(row["path"], root=True))] == parts_of(row["path"], root=True)
            and (row["expires"] is None or now < row["expires"])
            for row in rows
        )

    def _held(self, agent: Agent, more: str, *values: Any) -> list[sqlite3.Row]:
        holders = self._roots.principals(agent)
        marks = ", ".join("?" * len(holders))
        query = f"SELECT * FROM shares WHERE grantee IN ({marks}) {more}"  # noqa: S608 - marks and our own words
        return self._database.rows(query, *holders, *values)

    def _row(self, number: str) -> sqlite3.Row:
        row = self._database.row("SELECT * FROM shares WHERE id = ?", number)
        if row is None:
            raise FileMissing(f"share {number} is gone")
        return row

    def _told(self, row: sqlite3.Row) -> dict[str, Any]:
        root = self._roots.by_id(row["root"])
        return {
            "id": row["id"],
            "root": root.label if root else "",
            "path": row["path"],
            "to": row["grantee"],
            "rights": json.loads(row["rights"]),
            "expires": row["expires"],
            "expired": row["expires"] is not None and row["expires"] <= self._clock(),
            "by": row["agent"],
        }
