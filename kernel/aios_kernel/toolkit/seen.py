"""The tools of the frameworks, as their calls are seen: names and the shape of arguments, never their values."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, cast

from aios_kernel.abi import ToolCall
from aios_kernel.toolkit.validation import parse_arguments

if TYPE_CHECKING:
    from aios_kernel.abi import Call
    from aios_kernel.process import Process

__all__ = ["Seen", "SeenTools", "shape_of"]

MAX_SEEN = 1000
MAX_FIELDS = 50
MAX_DEPTH = 4


@dataclass(slots=True)
class Seen:
    """One tool of one framework: how often it was called, and what its arguments looked like."""

    name: str
    framework: str
    calls: int = 0
    parameters: dict[str, Any] = field(default_factory=dict[str, Any])

    def row(self) -> dict[str, Any]:
        """The tool as plain data."""
        origin = f"seen in {self.framework}" if self.framework else "seen"
        return {"name": self.name, "origin": origin, "calls": self.calls, "parameters": self.parameters}


class SeenTools:
    """Take note of leased tool calls; used as one of the kernel's checks, and never in the way of a call."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._seen: dict[tuple[str, str], Seen] = {}

    def __call__(self, call: Call, process: Process) -> None:
        """Take note of one call."""
        if not isinstance(call, ToolCall) or not call.lease:
            return
        try:
            self._note(call, process.agent.framework)
        except Exception:  # noqa: BLE001 - arguments may be anything; an observer must not refuse a call
            return

    def after_fork(self) -> None:
        """Forget the lock, which another thread of the parent may hold."""
        self._lock = threading.Lock()

    def rows(self) -> list[dict[str, Any]]:
        """What was seen, by framework and name."""
        with self._lock:
            return [seen.row() for _, seen in sorted(self._seen.items())]

    def frameworks_of(self, name: str) -> list[str]:
        """The frameworks in which a tool of that name was seen."""
        with self._lock:
            return sorted(framework for framework, seen in self._seen if seen == name)

    def _note(self, call: ToolCall, framework: str) -> None:
        shape = shape_of(parse_arguments(call.arguments)[0])
        with self._lock:
            key = (framework, call.name)
            seen = self._seen.get(key)
            if seen is None:
                if len(self._seen) >= MAX_SEEN:
                    return
                seen = self._seen[key] = Seen(call.name, framework, parameters=shape)
            seen.calls += 1
            seen.parameters = _merged(seen.parameters, shape)


def shape_of(value: Any, depth: int = 0) -> dict[str, Any]:
    """A JSON schema of a value's form."""
    if value is None:
        return {"type": "null"}
    for kind, name in ((bool, "boolean"), (int, "integer"), (float, "number"), (str, "string")):
        if isinstance(value, kind):
            return {"type": name}
    if isinstance(value, Mapping):
        if depth >= MAX_DEPTH:
            return {"type": "object"}
        fields = list(cast("Mapping[Any, Any]", value).items())[:MAX_FIELDS]
        return {"type": "object", "properties": {str(key): shape_of(item, depth + 1) for key, item in fields}}
    if isinstance(value, (list, tuple)):
        items = cast("list[Any]", value)
        return {"type": "array", **({"items": shape_of(items[0], depth + 1)} if items and depth < MAX_DEPTH else {})}
    return {}


def _merged(old: dict[str, Any], new: dict[str, Any]) -> dict[str, Any]:
    if old.get("type") != new.get("type"):
        return {"type": _kinds(old, new)} if _kinds(old, new) else {}
    if old.get("type") != "object":
        return old if old.get("items") or not new.get("items") else new
    left, right = old.get("properties", {}), new.get("properties", {})
    names = list(dict.fromkeys([*left, *right]))[:MAX_FIELDS]
    merged = {
        name: _merged(left[name], right[name]) if name in left and name in right else left.get(name, right.get(name))
        for name in names
    }
    return {"type": "object", "properties": merged}


def _kinds(old: dict[str, Any], new: dict[str, Any]) -> list[str]:
    found: list[str] = []
    for shape in (old, new):
        kind = shape.get("type")
        if kind is None:
            return []
        found += kind if isinstance(kind, list) else [kind]
    return list(dict.fromkeys(found))
