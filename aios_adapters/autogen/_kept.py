"""What AutoGen's own memories and contexts keep, item by item, for the kernel's memory."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from typing import Any

from aios_adapters.shelves import Keeper

__all__ = ["context", "memory"]

_KINDS = ("autogen_core.models", "autogen_core.memory")


def _contents(store: Any, told: Mapping[str, Any]) -> Mapping[str, Sequence[Any]]:
    del told
    return {"contents": store.content}


def _messages(store: Any, told: Mapping[str, Any]) -> Mapping[str, Sequence[Any]]:
    del told
    return {"messages": store._messages}


def _plain(item: Any) -> tuple[str, Any]:
    """A pydantic object as its text and the rest of it, with the name of its class."""
    data: dict[str, Any] = item.model_dump(mode="json")
    made = type(item).__name__
    text = data.get("content")
    if not isinstance(text, str) or not isinstance(item.content, str):
        return "", {"class": made, "fields": data}
    return text, {"class": made, "fields": {key: value for key, value in data.items() if key != "content"}}


def _again(text: str, data: Any) -> Any:
    fields = data["fields"]
    # By name among AutoGen's own: what is in a memory may be anybody's.
    kind: Any = next(filter(None, (getattr(sys.modules[name], data["class"], None) for name in _KINDS)))
    return kind.model_validate(fields if "content" in fields else {**fields, "content": text})


_MEMORY = Keeper(_contents, _plain, _again)
_CONTEXT = Keeper(_messages, _plain, _again)


def memory(of: Any) -> Keeper | None:
    """How a memory keeps its contents; None for one that has a place of its own for them."""
    found = getattr(sys.modules.get("autogen_core.memory"), "ListMemory", None)
    return _MEMORY if found is not None and isinstance(of, found) else None


def context(of: Any) -> Keeper | None:
    """How a model's context keeps its messages."""
    return _CONTEXT if isinstance(getattr(of, "_messages", None), list) else None
