"""What MetaGPT's memories keep, message by message, for the kernel's memory."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from typing import Any

from aios_adapters.shelves import Keeper

__all__ = ["memory"]

#: What can be changed of a message besides its text; its id says which it is, and the models it carries stay as they are.
_TEXTS = ("role", "cause_by", "sent_from")


def _storage(store: Any, told: Mapping[str, Any]) -> Mapping[str, Sequence[Any]]:
    del told
    return {"storage": store.storage}


def _index(store: Any) -> None:
    """Have the same messages in the index, which MetaGPT looks up by what caused them."""
    store.index.clear()
    for message in store.storage:
        if message.cause_by:
            store.index[message.cause_by].append(message)


def _talk(store: Any, told: Mapping[str, Any]) -> Mapping[str, Sequence[Any]]:
    del told
    return {"history": store.history, "knowledge": store.knowledge}


def _message(message: Any) -> tuple[str, Any]:
    """A message as its text and the rest of it."""
    data: dict[str, Any] = message.model_dump(mode="json", exclude={"content", "instruct_content"})
    data["send_to"] = sorted(data["send_to"])
    content = message.instruct_content
    if content is not None:
        data["instruct_content"] = content.model_dump(mode="json")
    return message.content, data


def _changed(message: Any, text: str, data: Mapping[str, Any]) -> Any:
    """A message with what is different in its note.

    Made of the message that it was, and of nothing that a note names: MetaGPT itself would import what a note says its
    content is.
    """
    _, before = _message(message)
    different = {name: data[name] for name in (*_TEXTS, "send_to") if data[name] != before[name]}
    if not all(isinstance(value, str) for name, value in different.items() if name in _TEXTS):
        raise TypeError(f"a message's {', '.join(_TEXTS)} are texts")
    if "send_to" in different:
        different["send_to"] = {str(name) for name in different["send_to"]}
    return message.model_copy(update={"content": text, **different})


_MEMORY = Keeper(_storage, _message, changed=_index, amend=_changed)
_BRAIN = Keeper(_talk, _message, amend=_changed)


def memory(of: Any) -> Keeper | None:
    """How a memory keeps its messages; None for a long-term one, which has a place of its own for them."""
    if _is(of, "brain_memory", "BrainMemory"):
        return _BRAIN
    return None if _is(of, "longterm_memory", "LongTermMemory") else _MEMORY


def _is(value: Any, module: str, name: str) -> bool:
    found = getattr(sys.modules.get(f"metagpt.memory.{module}"), name, None)
    return found is not None and isinstance(value, found)
