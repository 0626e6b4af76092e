"""What is done with notes: each verb, for the agent whose notes they are."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from aios_kernel.errors import NoteMissing, StoreError, VersionConflict
from aios_kernel.memory.blocks import PREFIX
from aios_kernel.memory.notes import Note

if TYPE_CHECKING:
    from collections.abc import Callable

    from aios_kernel.memory.arguments import Arguments
    from aios_kernel.memory.block import Block
    from aios_kernel.memory.blocks import Blocks
    from aios_kernel.store import Hybrid

__all__ = ["Memories", "Writer"]

MODES = ("hybrid", "text", "vector")
FOUND, LISTED, MOST = 5, 100, 1000
LARGEST = 1 << 20  # bytes of one note
TRIES = 100  # against other processes that update the same note


@dataclass(frozen=True, slots=True)
class Writer:
    """Who writes: an agent, its framework, and the call in which it does."""

    agent: str
    framework: str
    source: str


class Memories:
    """Notes of all agents. What a method has returned from is in the store."""

    def __init__(self, hybrid: Hybrid, blocks: Blocks, now: Callable[[], float], new_id: Callable[[], str]) -> None:
        self._hybrid, self._store, self._blocks = hybrid, hybrid.store, blocks
        self._now, self._new_id = now, new_id

    def add(self, owner: str, arguments: Arguments, writer: Writer) -> dict[str, Any]:
        """Remember something new; an id that is there already is a `VersionConflict`."""
        at = self._now()
        note = Note(
            id=arguments.text("id", None) if arguments.given("id") else self._new_id(),
            text=arguments.text("text", empty=True),
            metadata=arguments.metadata() or {},
            agent=writer.agent,
            framework=writer.framework,
            source=writer.source,
            created=at,
            updated=at,
        )
        return {"note": self._write(owner, note, 0).data()}

    def get(self, owner: str, arguments: Arguments, writer: Writer) -> dict[str, Any]:
        """One note."""
        return {"note": self._read(owner, arguments.text("id")).data()}

    def update(self, owner: str, arguments: Arguments, writer: Writer) -> dict[str, Any]:
        """Change text or metadata of a note; with `version`, only if the note is still at it."""
        name, expect = arguments.text("id"), arguments.whole("version", None, 1)
        metadata = arguments.metadata()
        for last in (tried == TRIES - 1 for tried in range(TRIES)):
            old = self._read(owner, name)
            new = replace(
                old,
                text=arguments.text("text", empty=True) if arguments.given("text") else old.text,
                metadata=old.metadata if metadata is None else metadata,
                agent=writer.agent,
                framework=writer.framework,
                source=writer.source,
                updated=self._now(),
            )
            try:
                return {"note": self._write(owner, new, expect or old.version).data()}
            except VersionConflict:
                if expect is not None or last:
                    raise
        raise AssertionError  # the last try has returned or raised

    def remove(self, owner: str, arguments: Arguments, writer: Writer) -> dict[str, Any]:
        """Forget a note; with `version`, only if the note is still at it."""
        name, block = arguments.text("id"), self._blocks.of(owner)
        with block.lock:
            removed = self._store.remove(PREFIX + owner, [name], expect=arguments.whole("version", None, 1))
            block.arrive(name, None)
        return {"removed": bool(removed)}

    def list(self, owner: str, arguments: Arguments, writer: Writer) -> dict[str, Any]:
        """Notes in the order in which they were added; `after` of the answer asks for the next page, null at the end."""
        limit = min(arguments.whole("limit", LISTED, 1) or LISTED, MOST)
        after = arguments.whole("after", 0, 0) or 0
        found = self._store.scan(PREFIX + owner, where=arguments.where(), after=after, limit=limit + 1)
        page = found[:limit]
        more = page[-1].number if len(found) > limit else None
        return {"notes": [Note.of(record).data() for record in page], "after": more}

    def retrieve(self, owners: list[str], arguments: Arguments) -> dict[str, Any]:
        """The `k` notes that fit a query best, best first, each with its score and whose it is."""
        query, where = arguments.text("query", empty=True), arguments.where()
        k, mode = min(arguments.whole("k", FOUND, 1) or FOUND, MOST), arguments.text("mode", "hybrid")
        if mode not in MODES:
            raise StoreError(f"memory retrieve: mode is one of {', '.join(MODES)}, not {mode!r}")
        found = [
            (hit.score, owner, hit.id)
            for owner in owners
            for hit in self._hybrid.search(PREFIX + owner, query, k, where, mode)
        ]
        found.sort(key=lambda one: -one[0])
        notes: list[dict[str, Any]] = []
        for score, owner, name in found[:k]:
            try:
                notes.append({**self._read(owner, name).data(), "owner": owner, "score": score})
            except NoteMissing:  # removed since it was found
                continue
        return {"notes": notes}

    def _read(self, owner: str, name: str) -> Note:
        block = self._blocks.of(owner)
        with block.lock:
            note = block.look(name) or self._fetch(block, owner, name)
        if note is None:
            raise NoteMissing(f"agent {owner!r} has no note {name!r}")
        return note

    def _fetch(self, block: Block, owner: str, name: str) -> Note | None:
        block.expect(name)
        note = None
        try:
            (record,) = self._store.get(PREFIX + owner, [name])
            note = None if record is None else Note.of(record)
        finally:
            block.arrive(name, note)
        return note

    def _write(self, owner: str, note: Note, expect: int) -> Note:
        if note.size > LARGEST:
            raise StoreError(f"a note of {note.size} bytes is too large: keep it as a file, and a note that names it")
        (record,) = self._hybrid.with_vectors([note.record()])  # outside the lock: an embedder may be slow
        block = self._blocks.of(owner)
        with block.lock:
            block.expect(note.id)
            written = None
            try:
                (put,) = self._store.put(PREFIX + owner, [record], expect=expect)
                written = replace(note, version=put.version)
                return written
            finally:
                block.arrive(note.id, written)
