"""Shelves: what one object of a program keeps, as notes of an agent; a program and the store are brought together in one call."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from aios_kernel.errors import StoreError
from aios_kernel.memory.blocks import PREFIX
from aios_kernel.memory.notes import Note

if TYPE_CHECKING:
    from collections.abc import Callable

    from aios_kernel.memory.arguments import Arguments
    from aios_kernel.memory.blocks import Blocks
    from aios_kernel.memory.memories import Writer
    from aios_kernel.store import Change, Hybrid, Record

__all__ = ["LARGEST", "Shelves"]

LARGEST = 1 << 24  # bytes of one item
AT_ONCE = 1000  # changes that are looked at in one piece
SHELF = "shelf"  # the name in a note's metadata


class Shelves:
    """Notes that belong together because one object of a program keeps them."""

    def __init__(self, hybrid: Hybrid, blocks: Blocks, now: Callable[[], float]) -> None:
        self._hybrid, self._store, self._blocks, self._now = hybrid, hybrid.store, blocks, now

    def sync(self, owner: str, arguments: Arguments, writer: Writer) -> dict[str, Any]:
        """Write and remove notes of a shelf, and tell what others did to it since the stamp `after`.

        The answer has `stamp`, for the next time, `changed` (notes) and `removed` (ids, also of other shelves). Notes of the same
        `source` as this call's are not told, nor is what was removed so long ago that the store has forgotten it.
        """
        shelf, collection = arguments.text(SHELF), PREFIX + owner
        stamp = self._store.stamp()
        after = arguments.whole("after", None, 0)
        changed, removed = self._since(collection, shelf, after, writer.source) if after is not None else ([], [])
        items = arguments.items("put")
        before = self._store.get(collection, [item["id"] for item in items])
        notes = [self._note(shelf, item, writer, old) for item, old in zip(items, before, strict=True)]
        gone = arguments.names("remove")
        if notes or gone:
            block = self._blocks.of(owner)
            records = self._hybrid.with_vectors([note.record() for note in notes]) if notes else []
            with block.lock:
                for name in (*gone, *(note.id for note in notes)):
                    block.expect(name)
                try:
                    if records:
                        self._store.put(collection, records)
                    if gone:
                        self._store.remove(collection, gone)
                finally:
                    for name in (*gone, *(note.id for note in notes)):
                        block.arrive(name, None)
        return {"stamp": stamp, "changed": changed, "removed": removed}

    def _note(self, shelf: str, item: dict[str, Any], writer: Writer, old: Record | None) -> Note:
        at = self._now()
        note = Note(
            id=item["id"],
            text=item["text"],
            metadata={**item["metadata"], SHELF: shelf},
            agent=str(item["metadata"].get("by") or writer.agent),
            framework=writer.framework,
            source=writer.source,
            created=at if old is None else Note.of(old).created,
            updated=at,
        )
        if note.size > LARGEST:
            raise StoreError(f"an item of {note.size} bytes is too large for a memory")
        return note

    def _since(self, collection: str, shelf: str, after: int, source: str) -> tuple[list[dict[str, Any]], list[str]]:
        changes = self._changes(after)
        if changes is None:  # look at the whole shelf
            found, removed = self._store.scan(collection, where={SHELF: shelf}), []
        else:
            mine = [change for change in changes if change.collection == collection]
            removed = [change.id for change in mine if change.version == 0]
            found = [one for one in self._store.get(collection, [c.id for c in mine if c.version]) if one is not None]
        notes = [Note.of(record) for record in found]
        return [n.data() for n in notes if n.metadata.get(SHELF) == shelf and n.source != source], removed

    def _changes(self, after: int) -> list[Change] | None:
        """All changes behind a stamp; None where the store has forgotten some."""
        found: list[Change] = []
        while True:
            page = self._store.changes(after, AT_ONCE)
            if page is None:
                return None
            found += page
            if len(page) < AT_ONCE:
                return found
            after = page[-1].stamp
