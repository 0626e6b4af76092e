"""Recorded answers for people: without their secrets, also those that came in the pieces of a stream."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, cast

from aios_kernel.secrets import redact, redact_data

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["shown"]

Place = tuple[Any, ...]


def shown(answer: Any) -> Any:
    """An answer, as the journal has it, with a mark in the place of each secret.

    Texts that stand at the same place of a list's elements are the pieces of one: where a secret goes over their borders, the
    first piece gets the whole text without it. The bodies of event streams are read as such.
    """
    data = _copied(answer)
    pieces: dict[Place, list[tuple[Any, Any]]] = {}
    for place, holder, key in _texts(data, ()):
        pieces.setdefault(place, []).append((holder, key))
    for holders in pieces.values():
        whole = "".join(holder[key] for holder, key in holders)
        if len(holders) > 1 and redact(whole) != whole:
            for number, (holder, key) in enumerate(holders):
                holder[key] = redact(whole) if number == 0 else ""
    return redact_data(data)


def _copied(value: Any) -> Any:
    """A copy to be changed, with the events of a stream's body as data."""
    if isinstance(value, dict):
        return {key: _copied(one) for key, one in cast("dict[str, Any]", value).items()}
    if isinstance(value, list):
        return [_copied(one) for one in cast("list[Any]", value)]
    if isinstance(value, str) and value.lstrip()[:1] in {"d", "e", ":", "{"}:
        return _read(value)
    return value


def _read(text: str) -> Any:
    """A body's events, or its one object; the text itself where it is neither."""
    events = [line[5:].strip() for line in text.splitlines() if line.startswith("data:")]
    try:
        if events:
            return [one if one == "[DONE]" else json.loads(one) for one in events]
        found: Any = json.loads(text)
    except ValueError:
        return text
    return cast("Any", found) if isinstance(found, dict) else text


def _texts(value: Any, place: Place) -> Iterator[tuple[Place, Any, Any]]:
    """Every text with its place, in which all elements of a list are the same, and what holds it."""
    if isinstance(value, dict):
        children: Any = cast("dict[str, Any]", value).items()
    elif isinstance(value, list):
        children = enumerate(cast("list[Any]", value))
    else:
        return
    for key, one in children:
        here = (*place, None if isinstance(value, list) else key)
        if isinstance(one, str):
            yield here, value, key  # pyright: ignore[reportUnknownMemberType]
        else:
            yield from _texts(one, here)
