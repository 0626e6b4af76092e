"""What an interpreter keeps, message by message, for the kernel's memory."""

from __future__ import annotations

from collections.abc import Mapping, MutableSequence, Sequence
from typing import Any

from aios_adapters.shelves import Keeper

__all__ = ["messages"]


class _Messages(MutableSequence[Any]):
    """An interpreter's messages; where one is removed, those that are new to its caller begin one earlier."""

    def __init__(self, interpreter: Any) -> None:
        self._interpreter = interpreter

    def __len__(self) -> int:
        return len(self._interpreter.messages)

    def __getitem__(self, at: Any) -> Any:
        return self._interpreter.messages[at]

    def __setitem__(self, at: Any, value: Any) -> None:
        self._interpreter.messages[at] = value

    def __delitem__(self, at: Any) -> None:
        del self._interpreter.messages[at]
        if at < self._interpreter.last_messages_count:
            self._interpreter.last_messages_count -= 1

    def insert(self, index: int, value: Any) -> None:
        """Put a message in."""
        self._interpreter.messages.insert(index, value)


def _lists(interpreter: Any, told: Mapping[str, Any]) -> Mapping[str, Sequence[Any]]:
    del told
    return {"messages": _Messages(interpreter)}


def _message(message: Mapping[str, Any]) -> tuple[str, Any]:
    """A message as its text and the rest of it; an image is no text, though it is written as one."""
    content = message.get("content")
    if not isinstance(content, str) or message.get("type") == "image":
        return "", dict(message)
    return content, {key: value for key, value in message.items() if key != "content"}


def _changed(message: Mapping[str, Any], text: str, data: Mapping[str, Any]) -> dict[str, Any]:
    """A message with other content. Who says it and what it is stay: a note may be anybody's, and code is run."""
    content = data.get("content", text)
    if type(content) is not type(message.get("content")):
        raise TypeError("a message's content stays of the kind that it was")
    return {**message, "content": content}


_KEEPER = Keeper(_lists, _message, amend=_changed)


def messages(interpreter: Any) -> Keeper:
    """How an interpreter keeps its messages."""
    del interpreter
    return _KEEPER
