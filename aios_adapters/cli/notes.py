"""Where `aios memory` finds notes: in the folder that a kernel keeps them in, or through a kernel that runs."""

from __future__ import annotations

import json
from collections import defaultdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from aios_kernel.abi import Agent, MemoryCall
from aios_kernel.errors import ConfigError, NoteMissing, VersionConflict
from aios_kernel.memory.arguments import owner_named, owner_shown
from aios_kernel.memory.blocks import PREFIX
from aios_kernel.memory.notes import Note
from aios_kernel.memory.transfer import notes_in

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from aios_kernel.gate import Gate
    from aios_kernel.store.hybrid import Mode

__all__ = ["FolderNotes", "KernelNotes", "Notes", "open_folder", "open_kernel"]

FILE = "memory.db"
PAGE = 500
BYTES = 8 << 20  # of a page of notes that comes from a kernel


class Notes(Protocol):
    """Notes by agents' names; "group:NAME" is what a group shares."""

    def agents(self) -> list[str]:
        """Who has notes."""
        ...

    def notes(self, agent: str) -> Iterator[dict[str, Any]]:
        """An agent's notes, oldest first."""
        ...

    def search(self, agents: Sequence[str], query: str, k: int, mode: Mode) -> list[dict[str, Any]]:
        """The notes that fit best, best first, with `score` and `owner`."""
        ...

    def lacking(self, agents: Sequence[str]) -> int:
        """How many notes have no vector to be found by, as far as is known here."""
        ...

    def add(self, agent: str, lines: Sequence[str], *, replace: bool) -> int:
        """Take exported notes, all or none, and return how many."""
        ...

    def remove(self, agent: str, notes: Sequence[dict[str, Any]]) -> int:
        """Remove notes, but those that were changed since they were read; return how many."""
        ...

    def close(self) -> None:
        """Leave."""
        ...


class FolderNotes:
    """Notes in a file, which a kernel may use at the same time. Only what is asked for is written: no vectors are made anew."""

    def __init__(self, path: Path, embedder: str | None) -> None:
        from aios_kernel.embedding import make_embedder
        from aios_kernel.memory import MemoryManager

        if embedder and embedder.startswith("kernel:"):
            raise ConfigError(f"--embedder {embedder} needs the kernel that serves it: use --kernel ADDRESS, or minilm")
        self._embedder = make_embedder(embedder, _no_gate)
        self._manager = MemoryManager(path, embedder=self._embedder)
        self._store = self._manager.store

    def agents(self) -> list[str]:
        names = (name.removeprefix(PREFIX) for name in self._store.collections() if name.startswith(PREFIX))
        return sorted(map(owner_shown, names))

    def notes(self, agent: str) -> Iterator[dict[str, Any]]:
        return map(json.loads, self._manager.export(agent))

    def search(self, agents: Sequence[str], query: str, k: int, mode: Mode) -> list[dict[str, Any]]:
        if mode != "text":
            self._embedder.embed_query(query)  # one that cannot be loaded says so here, where a kernel would go on
        hits = [(hit, agent) for agent in agents for hit in self._manager.search(agent, query, k, mode)]
        found: list[dict[str, Any]] = []
        for hit, agent in sorted(hits, key=lambda one: -one[0].score)[:k]:
            (record,) = self._store.get(_home(agent), [hit.id])
            if record is not None:
                found.append({**Note.of(record).data(), "owner": agent, "score": hit.score})
        return found

    def lacking(self, agents: Sequence[str]) -> int:
        return sum(self._store.count_lacking(_home(agent), self._embedder.space) for agent in agents)

    def add(self, agent: str, lines: Sequence[str], *, replace: bool) -> int:
        return self._manager.import_(agent, lines, replace=replace)

    def remove(self, agent: str, notes: Sequence[dict[str, Any]]) -> int:
        versions: defaultdict[int, list[str]] = defaultdict(list)
        for note in notes:
            versions[note["version"]].append(note["id"])
        pages = [(v, ids[at : at + PAGE]) for v, ids in versions.items() for at in range(0, len(ids), PAGE)]
        return sum(self._remove(_home(agent), ids, version) for version, ids in pages)

    def _remove(self, home: str, ids: list[str], version: int) -> int:
        try:
            return self._store.remove(home, ids, expect=version)
        except VersionConflict:
            return 0 if len(ids) == 1 else sum(self._remove(home, [one], version) for one in ids)

    def close(self) -> None:
        self._manager.close()


class KernelNotes:
    """Notes of a kernel in another process. Each agent's are asked for as that agent; a group's, as whoever runs this."""

    def __init__(self, kernel: Gate, where: str) -> None:
        self._kernel, self._where = kernel, where

    def agents(self) -> list[str]:
        raise ConfigError(f"say whose notes of {self._where} are meant: --agent NAME, as `aios ps` shows them")

    def notes(self, agent: str) -> Iterator[dict[str, Any]]:
        after, limit = 0, 8
        while after is not None:
            page = self._ask(agent, "list", after=after, limit=limit)
            yield from page["notes"]
            after = page["after"]
            largest = max((len(json.dumps(note)) for note in page["notes"]), default=1)
            limit = max(1, min(200, BYTES // largest))  # a line of the protocol has an end

    def search(self, agents: Sequence[str], query: str, k: int, mode: Mode) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = [
            {**note, "owner": agent}
            for agent in agents
            for note in self._ask(agent, "retrieve", query=query, k=k, mode=mode)["notes"]
        ]
        return sorted(found, key=lambda note: -note["score"])[:k]

    def lacking(self, agents: Sequence[str]) -> int:
        return 0

    def add(self, agent: str, lines: Sequence[str], *, replace: bool) -> int:
        notes = notes_in(lines)
        there = {note.id for note in notes if self._has(agent, note.id)}
        if there and not replace:
            raise VersionConflict(f"{len(there)} of the notes are there, such as {min(there)!r}")
        added: list[dict[str, Any]] = []
        try:
            for note in notes:
                given = {"id": note.id, "text": note.text, "metadata": dict(note.metadata)}
                told = {**given, "source": note.source} if note.source else given
                new = self._ask(agent, "update" if note.id in there else "add", **told)["note"]
                added += [] if note.id in there else [new]
        except BaseException:
            self.remove(agent, added)
            raise
        return len(notes)

    def remove(self, agent: str, notes: Sequence[dict[str, Any]]) -> int:
        removed = 0
        for note in notes:
            try:
                removed += self._ask(agent, "remove", id=note["id"], version=note["version"])["removed"]
            except VersionConflict:
                continue
        return removed

    def close(self) -> None:
        self._kernel.close()

    def _has(self, agent: str, name: str) -> bool:
        try:
            self._ask(agent, "get", id=name)
        except NoteMissing:
            return False
        return True

    def _ask(self, agent: str, verb: Any, **arguments: Any) -> dict[str, Any]:
        if agent.startswith("group:"):
            caller, arguments = "aios-memory", {**arguments, "agent": agent}
        else:
            caller = agent.removeprefix("agent:")
        call = MemoryCall(agent=Agent(name=caller), verb=verb, arguments=arguments)
        with self._kernel.syscall(call) as grant:
            if grant.lease:
                raise ConfigError(
                    f"the kernel at {self._where} keeps no memory: `aios serve` does without --no-managers"
                )
            return grant.reply().data


def open_folder(folder: str, *, embedder: str | None = None, make: bool = False) -> FolderNotes:
    """The notes of a folder; raises `ConfigError` where there are none, unless they are to be made."""
    path = Path(folder).expanduser() / FILE
    if not path.is_file():
        if not make:
            raise ConfigError(f"there is no memory in {folder}: name the folder that a kernel has for its --data")
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    return FolderNotes(path, embedder)


def open_kernel(where: str | None) -> KernelNotes:
    """The notes of a kernel that runs; none is started. Raises `NoKernel`."""
    from aios_adapters.remote import RemoteKernel
    from aios_adapters.remote.control import Control, NoKernel

    control = Control(where)
    try:
        control.policies()
    except NoKernel as error:
        raise NoKernel(f"{error}; or name the folder: --data FOLDER") from None
    address = str(control.address)  # never "auto", which would start one
    return KernelNotes(RemoteKernel(address), address)


def _no_gate() -> Gate:
    raise ConfigError("there is no kernel here")


def _home(agent: str) -> str:
    return PREFIX + owner_named(agent)
