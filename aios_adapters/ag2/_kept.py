"""What AG2's histories and knowledge in memory keep, event by event and path by path, for the kernel's memory."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, cast

from aios_adapters._wording import Place, put_back, taken_out
from aios_adapters.shelves import Keeper, Values

__all__ = ["keeper"]

_EVENTS = "ag2.events"
#: What AG2 writes before the name of a class, and imports when it reads.
_NAMED = ("__event__", "__enum__", "__dataclass__", "__pydantic__")
#: The events that have a text, alone or in another.
_TEXTS = frozenset({"TextInput", "ModelMessage", "HumanMessage", "HumanInputRequest", "ToolApprovalRequest"})


# Histories ---------------------------------------------------------------------------------------------------------


def _histories(storage: Any, told: Mapping[str, Any]) -> Mapping[str, Sequence[Any]]:
    """The events of each conversation, by the id of its stream."""
    del told
    kept: Mapping[Any, Sequence[Any]] = storage._MemoryStorage__data
    return {"*": (), **{str(stream): events for stream, events in kept.items()}}


def _event(event: Any) -> tuple[str, Any]:
    """An event's words, and all the rest of it as AG2 writes it."""
    data = _serialization().serialize_value(event)
    return taken_out(_words(data)), data


def _event_again(text: str, data: Any) -> Any:
    """An event as AG2 reads it, if it is made of AG2's own classes: it would import, and call, any that is named."""
    own = {
        f"{found.__module__}.{found.__qualname__}"
        for name, module in list(sys.modules.items())
        if name.startswith(f"{_EVENTS}.")
        for found in vars(module).values()
        if isinstance(found, type) and found.__module__.startswith(f"{_EVENTS}.")
    }
    for one in _objects(data):
        for mark in _NAMED:
            if mark in one and one[mark] not in own:
                raise ValueError(f"{one[mark]!r} is not one of AG2's own events")
    put_back(text, _words(data))
    return _serialization().deserialize_value(data)


def _words(data: Any) -> list[Place]:
    return [
        (one, "content")
        for one in _objects(data)
        if str(one.get("__event__")).rpartition(".")[2] in _TEXTS and isinstance(one.get("content"), str)
    ]


def _objects(data: Any) -> Iterator[dict[str, Any]]:
    values: list[Any] = []
    if isinstance(data, dict):
        found = cast("dict[str, Any]", data)
        yield found
        values = list(found.values())
    elif isinstance(data, list):
        values = cast("list[Any]", data)
    for value in values:
        yield from _objects(value)


def _serialization() -> Any:
    return sys.modules["ag2.events._serialization"]


# Knowledge ---------------------------------------------------------------------------------------------------------


def _knowledge(store: Any, told: Mapping[str, Any]) -> Mapping[str, Sequence[Any]]:
    """The text at each path, a list of its own."""
    del told
    return {"*": (), **{path.rstrip("*"): Values(store._data, [path]) for path in store._data}}


_HISTORY = Keeper(_histories, _event, _event_again)
_KNOWLEDGE = Keeper(_knowledge, lambda text: (text, None), lambda text, data: text)  # noqa: ARG005 - there is nothing else


def keeper(of: Any) -> Keeper | None:
    """How a storage or a knowledge store keeps its items; None for one that has a place of its own for them."""
    if _is(of, "ag2.history", "MemoryStorage"):
        return _HISTORY
    return _KNOWLEDGE if _is(of, "ag2.knowledge.memory", "MemoryKnowledgeStore") else None


def _is(value: Any, module: str, name: str) -> bool:
    found = getattr(sys.modules.get(module), name, None)
    return found is not None and isinstance(value, found)
