"""Memory: the history of each conversation and an agent's knowledge; both stay in AG2's own stores."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from aios_adapters.ag2 import _kept
from aios_adapters.ag2._identity import FRAMEWORK
from aios_adapters.calls import Store
from aios_adapters.patching import Patch

__all__ = ["PATCHES"]

_store = Store(FRAMEWORK, _kept.keeper)


def _event(args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Mapping[str, Any]:
    """Which kind of event is kept."""
    return {"event": type(args[0] if args else kwargs.get("event")).__name__}


def _path(args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Mapping[str, Any]:
    """Where knowledge is kept."""
    return {"path": args[0] if args else kwargs.get("path", "/")}


def _history(method: str, wrap: Any) -> Patch:
    return Patch(module="ag2.history", path=f"Storage.{method}", wrap=wrap, subclasses="only")


def _knowledge(module: str, name: str, *, optional: bool = False) -> list[Patch]:
    """Knowledge stores have no base class: each of AG2's own, with what is below it."""
    wraps = {
        "read": _store.coroutine("get", _path),
        "read_range": _store.coroutine("get", _path),
        "write": _store.coroutine("add", _path),
        "append": _store.coroutine("add", _path),
        "list": _store.coroutine("list", _path),
        "delete": _store.coroutine("remove", _path),
    }
    return [
        Patch(module=f"ag2.knowledge.{module}", path=f"{name}.{method}", wrap=wrap, subclasses=True, optional=optional)
        for method, wrap in wraps.items()
    ]


PATCHES = [
    _history("save_event", _store.coroutine("add", _event)),
    _history("get_history", _store.coroutine("get")),
    _history("set_history", _store.coroutine("update")),
    _history("drop_history", _store.coroutine("remove")),
    *_knowledge("memory", "MemoryKnowledgeStore"),
    *_knowledge("disk", "DiskKnowledgeStore", optional=True),  # it needs watchdog
    *_knowledge("sqlite", "SqliteKnowledgeStore"),
]
