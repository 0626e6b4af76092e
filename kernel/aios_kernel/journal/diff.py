"""How two requests differ, and how two journals do, in lines that people read."""

from __future__ import annotations

import difflib
import json
from typing import TYPE_CHECKING, Any

from aios_kernel.journal.shown import shown

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from aios_kernel.journal._file import Row

__all__ = ["compare", "divergence", "request_diff"]

LONGEST = 60  # lines of a diff in an error


def request_diff(recorded: Any, asked: Any) -> list[str]:
    """A unified diff of two requests as indented JSON."""
    before, after = (
        json.dumps(one, indent=2, sort_keys=True, ensure_ascii=False).splitlines() for one in (recorded, asked)
    )
    return list(difflib.unified_diff(before, after, "recorded", "asked", lineterm="", n=2))


def divergence(agent: str, label: str, asked: dict[str, Any], recorded: dict[str, Any] | None) -> str:
    """What a strict replay says of a call that is not in the journal."""
    head = f"{label!r} of agent {agent!r} is not in the journal"
    if recorded is None:
        return f"{head}, which has no more calls of its kind by this agent"
    lines = request_diff(recorded, asked)
    if len(lines) > LONGEST:
        lines = [*lines[:LONGEST], f"... {len(lines) - LONGEST} lines more"]
    if not lines:
        return f"{head} so often"
    return "\n".join([f"{head}; the next one recorded there differs:", *lines])


def compare(left: Iterable[Row], right: Iterable[Row]) -> Iterator[str]:
    """How the second journal differs from the first, agent by agent, in the order of each agent's calls."""
    first, second = _by_agent(left), _by_agent(right)
    for agent in sorted({*first, *second}):
        mine, theirs = first.get(agent, []), second.get(agent, [])
        matcher = difflib.SequenceMatcher(
            None, [_key(row) for row in mine], [_key(row) for row in theirs], autojunk=False
        )
        for tag, a, b, c, d in matcher.get_opcodes():
            if tag == "equal":
                continue
            if tag == "replace" and b - a == d - c:
                for one, other in zip(mine[a:b], theirs[c:d], strict=True):
                    yield from _changed(agent, one, other)
                continue
            yield from (f"- {agent}: {row.label} (record {row.id})" for row in mine[a:b])
            yield from (f"+ {agent}: {row.label} (record {row.id})" for row in theirs[c:d])


def _changed(agent: str, one: Row, other: Row) -> Iterator[str]:
    what = "answer" if one.hash == other.hash else "request"
    yield f"! {agent}: {one.label} (record {one.id}, {other.id}): another {what}"
    pair = (one.answer, other.answer) if what == "answer" else (one.request, other.request)
    yield from (f"    {line}" for line in request_diff(*(shown(json.loads(one)) for one in pair))[2:])


def _key(row: Row) -> tuple[str, str]:
    return row.hash, row.answer


def _by_agent(rows: Iterable[Row]) -> dict[str, list[Row]]:
    found: dict[str, list[Row]] = {}
    for row in rows:
        found.setdefault(row.agent, []).append(row)
    return found
