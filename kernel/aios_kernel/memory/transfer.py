"""Notes as JSON lines: one note a line, for keeping, reading and moving an agent's memory."""

from __future__ import annotations

import json
from dataclasses import fields
from typing import TYPE_CHECKING, Any, cast

from aios_kernel.errors import StoreError
from aios_kernel.memory.notes import Note, checked_metadata

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from aios_kernel.store import Hybrid, Store

__all__ = ["export_notes", "import_notes", "notes_in"]

PAGE = 500
NAMES = {field.name for field in fields(Note)}
TEXTS = ("id", "text", "agent", "framework", "source")
NUMBERS = ("created", "updated", "version")


def export_notes(store: Store, collection: str) -> Iterator[str]:
    """The notes of a collection, oldest first, while others may be writing."""
    after = 0
    while page := store.scan(collection, after=after, limit=PAGE):
        yield from (json.dumps(Note.of(record).data(), ensure_ascii=False) for record in page)
        after = page[-1].number


def import_notes(hybrid: Hybrid, collection: str, lines: Iterable[str], *, replace: bool) -> int:
    """Write notes in one transaction; a line that is none is an error, and nothing is written."""
    records = [note.record() for note in notes_in(lines)]
    if not records:
        return 0
    return len(hybrid.store.put(collection, hybrid.with_vectors(records), expect=None if replace else 0))


def notes_in(lines: Iterable[str]) -> list[Note]:
    """The notes of exported lines; one that is none, or has the id of another, is a `StoreError` that names it."""
    found: dict[str, tuple[int, Note]] = {}
    for at, line in enumerate(lines, 1):
        if not line.strip():
            continue
        note = _note(at, line)
        if note.id in found:
            raise StoreError(f"lines {found[note.id][0]} and {at} are both the note {note.id!a}: an id names one note")
        found[note.id] = at, note
    return [note for _, note in found.values()]


def _note(at: int, line: str) -> Note:
    try:
        found: Any = json.loads(line)
    except ValueError as error:
        raise StoreError(f"line {at} is not JSON: {error}") from error
    if not isinstance(found, dict):
        raise StoreError(f"line {at} is not a note")
    note = cast("dict[str, Any]", found)
    unknown = note.keys() - NAMES
    if unknown or not note.get("id") or "text" not in note:
        raise StoreError(f"line {at} is not a note: it needs id and text, and may have {', '.join(sorted(NAMES))}")
    wrong = [name for name in TEXTS if not isinstance(note.get(name, ""), str)]
    wrong += [name for name in NUMBERS if not isinstance(note.get(name, 0), int | float)]
    if wrong:
        raise StoreError(f"line {at}: {', '.join(wrong)} cannot be what they are")
    checked_metadata(note.get("metadata", {}))
    return Note(**note)
