"""What AutoGen's own memories and contexts keep, item by item, for the kernel's memory."""

from __future__ import annotations

import base64
import json
import sys
from collections.abc import Mapping, Sequence
from typing import Any

from aios_adapters._wording import Place, exact, put_back, taken_out
from aios_adapters.shelves import Keeper

__all__ = ["context", "memory"]

#: What a context keeps. Others are not made of notes, which may be anybody's.
_MESSAGES = ("SystemMessage", "UserMessage", "AssistantMessage", "FunctionExecutionResultMessage")


def _class(module: str, name: str) -> Any:
    return getattr(sys.modules.get(module), name, None)


# Model contexts ----------------------------------------------------------------------------------------------------


def _messages(store: Any, told: Mapping[str, Any]) -> Mapping[str, Sequence[Any]]:
    del told
    return {"messages": store._messages}


def _message(message: Any) -> tuple[str, Any]:
    """A message's words, and all the rest of it; images are in it as PNG."""
    kind = message.type
    if kind not in _MESSAGES or type(message) is not _class("autogen_core.models", kind):
        raise TypeError(f"a {type(message).__name__} is none of AutoGen's own messages")
    data: Any = message.model_dump(mode="json")
    return taken_out(_words(data)), data


def _message_again(text: str, data: Any) -> Any:
    if data["type"] not in _MESSAGES:
        raise ValueError(data["type"])
    put_back(text, _words(data))
    return _class("autogen_core.models", data["type"]).model_validate(data)


def _words(data: Any) -> list[Place]:
    """Where a message has words: its content, the parts of it that are text, or the results of tools."""
    content: Any = data["content"]
    if isinstance(content, str):
        return [(data, "content")]
    if data["type"] == "FunctionExecutionResultMessage":
        return [(result, "content") for result in content]
    return [(content, at) for at, part in enumerate(content) if isinstance(part, str)]


_CONTEXT = Keeper(_messages, _message, _message_again)


def context(of: Any) -> Keeper | None:
    """How a model's context keeps its messages; None for one that keeps them elsewhere."""
    return _CONTEXT if isinstance(getattr(of, "_messages", None), list) else None


# Memories ----------------------------------------------------------------------------------------------------------


def _contents(store: Any, told: Mapping[str, Any]) -> Mapping[str, Sequence[Any]]:
    del told
    return {"contents": store.content}


def _content(item: Any) -> tuple[str, Any]:
    """A content of each kind that there is: objects as JSON for people and for search, bytes and images in base64."""
    if type(item) is not _class("autogen_core.memory", "MemoryContent"):
        raise TypeError(f"a {type(item).__name__} is not AutoGen's own content")
    value: Any = item.content
    rest = {"mime_type": item.model_dump(include={"mime_type"})["mime_type"], "metadata": exact(item.metadata)}
    rest["enum"] = not isinstance(item.mime_type, str)
    if isinstance(value, str):
        return value, {**rest, "kind": "text"}
    if isinstance(value, dict):
        return json.dumps(exact(value), ensure_ascii=False), {**rest, "kind": "object"}
    if isinstance(value, bytes):
        return "", {**rest, "kind": "bytes", "value": base64.b64encode(value).decode()}
    return "", {**rest, "kind": "image", "value": value.to_base64()}


def _content_again(text: str, data: Any) -> Any:
    made: Any = _class("autogen_core.memory", "MemoryContent")
    mime: Any = _class("autogen_core.memory", "MemoryMimeType")
    return made(
        content=_value(text, data),
        mime_type=mime(data["mime_type"]) if data["enum"] else data["mime_type"],
        metadata=data["metadata"],
    )


def _value(text: str, data: Any) -> Any:
    if data["kind"] == "text":
        return text
    if data["kind"] == "bytes":
        return base64.b64decode(data["value"])
    if data["kind"] == "image":
        return _class("autogen_core", "Image").from_base64(data["value"])
    found = json.loads(text)
    if not isinstance(found, dict):
        raise TypeError("it was an object, and is none now")
    return found  # pyright: ignore[reportUnknownVariableType]


_MEMORY = Keeper(_contents, _content, _content_again)


def memory(of: Any) -> Keeper | None:
    """How a memory keeps its contents; None for one that has a place of its own for them."""
    found = _class("autogen_core.memory", "ListMemory")
    return _MEMORY if found is not None and isinstance(of, found) else None
