"""The words in plain data: taken out as one text for people and for search, and put back where they were changed."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

__all__ = ["Place", "exact", "put_back", "taken_out"]

Place = tuple[Any, Any]  # a dictionary or list, and the key or index of a text in it


def exact(data: Any) -> Any:
    """Give back a copy of data that JSON has as it is; raise `TypeError` for other data."""
    copy = json.loads(json.dumps(data))
    if copy != data:
        raise TypeError("JSON has no such values")
    return copy


def taken_out(places: Sequence[Place]) -> str:
    """Return the texts at these places; a single one is only in what is returned, and no longer at its place."""
    texts = [str(where[key]) for where, key in places]
    for where, key in places if len(places) == 1 else ():
        where[key] = ""
    return "\n\n".join(texts)


def put_back(text: str, places: Sequence[Place]) -> None:
    """Undo `taken_out`; raise `ValueError` for a text that is another one, where there are several places for it or none."""
    if len(places) == 1:
        where, key = places[0]
        where[key] = text
    elif text != taken_out(places):
        raise ValueError(f"which of {len(places)} texts it changes cannot be told")
