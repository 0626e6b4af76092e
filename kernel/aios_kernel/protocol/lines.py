"""Lines: JSON objects to bytes, and pieces of bytes back to objects."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, cast

from aios_kernel.errors import AiosError

__all__ = ["LONGEST", "Lines", "ProtocolError", "line", "plain"]

LONGEST = 64 * 1024 * 1024  # bytes of one line: a prompt with pictures is some megabytes


class ProtocolError(AiosError):
    """The other side sent what is no message of this protocol."""


def line(message: Mapping[str, Any]) -> bytes:
    """One message; what JSON has no form for is written as plainly as can be."""
    try:
        text = json.dumps(message, default=_plain_object, separators=(",", ":"))
    except (TypeError, ValueError):  # a key that is no text, an object inside itself
        text = json.dumps(plain(message), separators=(",", ":"))
    return text.encode("ascii") + b"\n"


class Lines:
    """Put lines together from the pieces that arrive."""

    def __init__(self, longest: int = LONGEST) -> None:
        self._rest = bytearray()
        self._longest = longest

    def feed(self, data: bytes) -> list[dict[str, Any]]:
        """Return the messages that are complete now; raises `ProtocolError`."""
        found: list[dict[str, Any]] = []
        searched = len(self._rest)
        self._rest += data
        begin = 0
        while (end := self._rest.find(b"\n", max(begin, searched))) >= 0:
            text = bytes(self._rest[begin:end])
            begin = end + 1
            if text:
                found.append(_message(text))
        del self._rest[:begin]
        if len(self._rest) > self._longest:
            raise ProtocolError(f"a message is longer than {self._longest} bytes")
        return found


def _message(text: bytes) -> dict[str, Any]:
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict):
        raise ProtocolError(f"this is no message: {text[:80]!r}")
    return cast("dict[str, Any]", found)


def _plain_object(value: Any) -> Any:
    """An object of somebody's, in a form that JSON has."""
    if isinstance(value, Mapping):
        return dict(cast("Mapping[Any, Any]", value))
    if isinstance(value, (set, frozenset)):
        return list(cast("set[Any]", value))
    if isinstance(value, Sequence) and not isinstance(value, (bytes, bytearray)):
        return list(cast("Sequence[Any]", value))
    dump: Any = getattr(cast("Any", value), "model_dump", None)  # pydantic's
    try:
        return repr(cast("Any", value)) if dump is None else dump(mode="json")
    except Exception:  # noqa: BLE001 - it may be anything
        return f"<{type(cast('Any', value)).__name__}>"


def plain(value: Any, depth: int = 32) -> Any:
    """The same value of JSON's types alone; what is too deep (or inside itself) becomes text."""
    if value is None or isinstance(value, (str, bool, int, float)):
        return value
    if depth <= 0:
        return f"<{type(value).__name__}>"
    if isinstance(value, Mapping):
        pairs = cast("Mapping[Any, Any]", value).items()
        return {key if isinstance(key, str) else repr(key): plain(item, depth - 1) for key, item in pairs}
    if isinstance(value, (list, tuple)):
        return [plain(item, depth - 1) for item in cast("Sequence[Any]", value)]
    return plain(_plain_object(value), depth - 1)
