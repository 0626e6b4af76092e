"""What a call asks for, as plain data and as one hash: the same in every run and every process."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import fields, is_dataclass
from typing import TYPE_CHECKING, Any, cast

if TYPE_CHECKING:
    from aios_kernel.abi import Call

__all__ = ["fingerprint", "request_of"]

#: Who asks, how long it may wait, who does the work, where, and the number the model gave the request: not what is asked.
LEFT_OUT = frozenset({"agent", "timeout", "lease", "endpoint", "call_id"})
DEEPEST = 64


def request_of(call: Call) -> dict[str, Any]:
    """What a call asks for, as JSON data; what has no form in JSON is named by its type alone."""
    asked = {one.name: _plain(getattr(call, one.name), 0) for one in fields(call) if one.name not in LEFT_OUT}
    return {
        "type": type(call).__name__,
        **{key: value for key, value in asked.items() if value not in ("", None, [], {})},
    }


def fingerprint(call: Call | Mapping[str, Any]) -> str:
    """A SHA-256 of what a call, or the data that `request_of` made of it, asks for."""
    asked = call if isinstance(call, Mapping) else request_of(call)
    text = json.dumps(asked, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def _plain(value: Any, depth: int) -> Any:
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    return "..." if depth > DEEPEST else _nested(value, depth + 1)


def _nested(value: Any, depth: int) -> Any:
    found: Any
    if isinstance(value, Mapping):
        found = {str(key): _plain(one, depth) for key, one in cast("Mapping[Any, Any]", value).items()}
    elif isinstance(value, (bytes, bytearray)):
        found = {"bytes": base64.b64encode(value).decode()}
    elif isinstance(value, AbstractSet):
        found = sorted((_plain(one, depth) for one in cast("AbstractSet[Any]", value)), key=repr)
    elif isinstance(value, Sequence):
        found = [_plain(one, depth) for one in cast("Sequence[Any]", value)]
    elif is_dataclass(value) and not isinstance(value, type):
        found = {one.name: _plain(getattr(value, one.name), depth) for one in fields(value)}
    else:
        found = _foreign(value, depth)
    return found


def _foreign(value: Any, depth: int) -> Any:
    """Somebody else's object: what it says of itself as data, else its type; never its repr, which may hold an address."""
    kind = value if isinstance(value, type) or hasattr(value, "__qualname__") else type(value)
    dump = getattr(value, "model_dump", None)
    if dump is None or kind is value:
        return f"<{kind.__qualname__}>"
    try:
        return _plain(dump(mode="json"), depth)
    except Exception:  # noqa: BLE001 - its type has to do
        return f"<{kind.__qualname__}>"
