"""What runs of programs with `enable(memory=True)` left in a memory: notes on shelves, which no later run finds again."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from aios_adapters.cli.notes import Notes

__all__ = ["Left", "left_by_runs"]

SHELF = re.compile(r"([0-9a-f]{8})/[^/]+/\d+")  # what such a program calls one of its objects


@dataclass(frozen=True, slots=True)
class Left:
    """What one run left of one agent; `last` is when the run wrote last, for whichever agent."""

    agent: str
    run: str
    notes: Sequence[dict[str, Any]]
    last: float


def left_by_runs(notes: Notes, agents: Iterable[str]) -> list[Left]:
    """All of it. What an agent wrote itself is not, whatever it has in its metadata."""
    found: dict[tuple[str, str], list[dict[str, Any]]] = {}
    last: dict[str, float] = {}
    for agent in agents:
        for note in notes.notes(agent):
            run = _run_of(note["metadata"])
            if run:
                found.setdefault((agent, run), []).append(note)
                last[run] = max(last.get(run, 0.0), note["updated"])
    return [Left(agent, run, those, last[run]) for (agent, run), those in found.items()]


def _run_of(metadata: dict[str, Any]) -> str:
    name = metadata.get("shelf")
    found = SHELF.fullmatch(name) if isinstance(name, str) else None
    ours = isinstance(metadata.get("list"), str) and isinstance(metadata.get("data"), str)
    return found[1] if found and ours else ""
