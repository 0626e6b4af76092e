"""An agent's block: those of its notes that are in memory, at most so many bytes of them."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from aios_kernel.memory.lru_k import LRUK

if TYPE_CHECKING:
    from aios_kernel.memory.notes import Note

__all__ = ["Block"]

FULL = 0.8  # of the budget: above it notes go, as in the paper


class Block:
    """Notes in memory, each of them also in the store, so that putting one out loses nothing.

    Safe among threads. A note that is read or written is announced by `expect` before the store is asked, and handed in
    by `arrive`: what somebody else changed in between (`changed`) is then not taken for the newest. One thread at a time
    may be between the two, for one agent; `lock` is for that.
    """

    def __init__(self, budget: int, k: int) -> None:
        self.lock = threading.Lock()
        self.budget = budget
        self.bytes = self.hits = self.misses = self.put_out = 0
        self._guard = threading.Lock()
        self._notes: dict[str, Note] = {}
        self._order = LRUK(k)
        self._expected: dict[str, set[int]] = {}

    def __len__(self) -> int:
        return len(self._notes)

    def look(self, name: str) -> Note | None:
        """The note, if it is in memory; this counts as an access."""
        with self._guard:
            note = self._notes.get(name)
            if note is None:
                self.misses += 1
            else:
                self.hits += 1
                self._order.touch(name)
            return note

    def expect(self, name: str) -> None:
        """Take note of changes to this note from now on."""
        with self._guard:
            self._expected[name] = set()

    def arrive(self, name: str, note: Note | None) -> None:
        """Keep what the store answered, None: there is nothing, unless it is not the newest any more."""
        with self._guard:
            seen = self._expected.pop(name, set[int]())
            self._drop(name, removed=note is None)
            if note is None or not seen <= {note.version}:
                return
            self._notes[name] = note
            self.bytes += note.size
            self._order.touch(name)
            self._shrink(name)

    def changed(self, name: str, version: int) -> None:
        """Hear that a note was written as this version, 0: removed, maybe by another process."""
        with self._guard:
            if name in self._expected:
                self._expected[name].add(version)
            note = self._notes.get(name)
            if note is not None and note.version != version:
                self._drop(name, removed=version == 0)

    def clear(self) -> None:
        """Forget all notes: nobody knows what has changed."""
        with self._guard:
            for seen in self._expected.values():
                seen.add(-1)
            for name in list(self._notes):
                self._drop(name)

    def _drop(self, name: str, *, removed: bool = False) -> None:
        note = self._notes.pop(name, None)
        if note is not None:
            self.bytes -= note.size
        if removed:
            self._order.forget(name)
        else:  # its accesses are kept: it is the same note in a new version
            self._order.lift(name)

    def _shrink(self, newest: str) -> None:
        limit = self.budget * FULL
        while self.bytes > limit:
            name = self._order.put_out(keep=newest) or self._order.put_out()
            if name is None:
                return
            self.bytes -= self._notes.pop(str(name)).size
            self.put_out += 1
