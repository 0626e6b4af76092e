"""Roots: one per agent, one per privilege group, and directories of the host that the operator names."""

from __future__ import annotations

import hashlib
import os
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from aios_kernel.errors import AccessDenied, StorageError
from aios_kernel.storage.jail import Jail

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable, Iterable, Mapping
    from pathlib import Path

    from aios_kernel.abi import Agent
    from aios_kernel.storage.database import Database

__all__ = ["Root", "Roots", "declared_groups", "principal"]

Kind = Literal["agent", "group", "mount"]
KINDS: tuple[Kind, ...] = ("agent", "group", "mount")


@dataclass(frozen=True, slots=True)
class Root:
    """A directory that paths begin in. A mount's is the host's own and is only read."""

    id: int
    kind: Kind
    name: str
    folder: str

    @property
    def label(self) -> str:
        """The root as calls name it."""
        return f"{self.kind}:{self.name}"


def declared_groups(agent: Agent) -> tuple[str, ...]:
    """The group that an agent's program gives it."""
    return (agent.group,) if agent.group else ()


def principal(text: object, kinds: tuple[str, ...]) -> tuple[str, str]:
    """Take "agent:NAME" or "group:NAME" apart."""
    kind, _, name = text.partition(":") if isinstance(text, str) else ("", "", "")
    if kind not in kinds or not name:
        wanted = " or ".join(f"'{one}:NAME'" for one in kinds)
        raise StorageError(f"{text!a} is not {wanted}")
    _check_name(name)
    return kind, name


class Roots:
    """The roots of a store, made when their owners first use them."""

    def __init__(
        self,
        base: Path,
        database: Database,
        mounts: Mapping[str, str | os.PathLike[str]],
        groups: Callable[[Agent], Iterable[str]],
        *,
        fsync: bool,
    ) -> None:
        self._path = base / "roots"
        self._path.mkdir(mode=0o700, exist_ok=True)
        self._parent = os.open(self._path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        self._database = database
        self._mounts = {name: os.path.realpath(path) for name, path in mounts.items()}
        self._groups = groups
        self._fsync = fsync
        self._known: dict[tuple[str, str], Root] = {}

    def find(self, agent: Agent, spec: str) -> Root:
        """The root a call names, "" for the agent's own. Says nothing of what the agent may do there."""
        if not spec:
            return self._get("agent", agent.name)
        kind, name = principal(spec, KINDS)
        if kind == "agent":
            return self._get("agent", name, create=name == agent.name)
        if kind == "group":
            return self._get("group", name, create=self.member(agent, name))
        if name not in self._mounts:
            known = ", ".join(sorted(self._mounts)) or "none"
            raise StorageError(f"there is no directory of the host by the name {name!r}. Known: {known}")
        return self._get("mount", name)

    def named(self, spec: str) -> Root:
        """The root of that name, made where it is not; for operators."""
        kind, name = principal(spec, ("agent", "group"))
        return self._get("agent" if kind == "agent" else "group", name)

    def by_id(self, number: int) -> Root | None:
        """The root of that number; None for a mount that is not configured any more."""
        row = self._database.row("SELECT * FROM roots WHERE id = ?", number)
        if row is None or (row["kind"] == "mount" and row["name"] not in self._mounts):
            return None
        return Root(row["id"], row["kind"], row["name"], row["folder"])

    def member(self, agent: Agent, group: str) -> bool:
        """Whether an agent is in a group."""
        return group in self._groups(agent)

    def principals(self, agent: Agent) -> list[str]:
        """Everything that can be granted something and is the agent."""
        return [f"agent:{agent.name}", *(f"group:{group}" for group in self._groups(agent))]

    def jail(self, root: Root) -> Jail:
        """Open a root."""
        if root.kind == "mount":
            return Jail(-1, self._mounts[root.name], fsync=False, follow=True)
        return Jail(self._parent, root.folder, fsync=self._fsync)

    def close(self) -> None:
        """Close the directory of roots."""
        os.close(self._parent)

    def _get(self, kind: Kind, name: str, *, create: bool = True) -> Root:
        found = self._known.get((kind, name))
        if found is None:
            _check_name(name)
            row = self._database.row("SELECT * FROM roots WHERE kind = ? AND name = ?", kind, name)
            if row is None and not create:
                raise AccessDenied(f"nothing in '{kind}:{name}' is shared with this agent")
            self._make_folder(kind, name)
            found = self._known[kind, name] = self._insert(kind, name) if row is None else Root(*row)
        return found

    def _make_folder(self, kind: Kind, name: str) -> None:
        if kind != "mount":
            (self._path / _folder(kind, name)).mkdir(mode=0o700, exist_ok=True)
            if self._fsync:
                os.fsync(self._parent)

    def _insert(self, kind: Kind, name: str) -> Root:
        def insert(connection: sqlite3.Connection) -> Root:
            run = connection.execute
            run("INSERT OR IGNORE INTO roots (kind, name, folder) VALUES (?, ?, ?)", (kind, name, _folder(kind, name)))
            return Root(*run("SELECT * FROM roots WHERE kind = ? AND name = ?", (kind, name)).fetchone())

        return self._database.transact(insert)


def _folder(kind: str, name: str) -> str:
    """A directory's name that is safe whatever the owner's is, different for each, and tells people whose it is."""
    told = re.sub(r"[^A-Za-z0-9]+", "-", name).strip("-")[:40]
    return f"{kind}-{told}-{hashlib.sha256(name.encode()).hexdigest()[:24]}"


def _check_name(name: str) -> None:
    try:
        name.encode()
    except UnicodeEncodeError:
        raise StorageError(f"the name {name!a} is not text") from None
    if not name or "\0" in name or len(name) > 1000:
        raise StorageError(f"{name[:80]!a} cannot own a root: use a name of 1 to 1000 characters, without NUL")
