"""What LangChain's and LangGraph's stores in memory keep, item by item, for the kernel's memory."""

from __future__ import annotations

import base64
import importlib
import json
import sys
from collections.abc import Mapping, Sequence
from typing import Any

from aios_adapters.shelves import Keeper, Values

__all__ = ["history", "saver", "store"]


def _is(value: Any, module: str, name: str) -> bool:
    """Whether a value is of a class, without an import of it."""
    found = getattr(sys.modules.get(module), name, None)
    return found is not None and isinstance(value, found)


# Chat histories ----------------------------------------------------------------------------------------------------


def _messages(store: Any, told: Mapping[str, Any]) -> Mapping[str, Sequence[Any]]:
    del told
    return {"messages": store.messages}


def _message(message: Any) -> tuple[str, Any]:
    """A message as text and the rest of it; content in parts stays with the rest."""
    data: dict[str, Any] = _core("messages").message_to_dict(message)
    content = data["data"]["content"]
    if not isinstance(content, str):
        return "", data
    return content, {**data, "data": {key: value for key, value in data["data"].items() if key != "content"}}


def _message_again(text: str, data: Any) -> Any:
    inner = data["data"]
    whole = {**data, "data": inner if "content" in inner else {**inner, "content": text}}
    return _core("messages").messages_from_dict([whole])[0]


def _core(name: str) -> Any:
    return importlib.import_module(f"langchain_core.{name}")


_HISTORY = Keeper(_messages, _message, _message_again)


def history(of: Any) -> Keeper | None:
    """How a chat history keeps its messages; None for one that has a place of its own for them."""
    return _HISTORY if _is(of, "langchain_core.chat_history", "InMemoryChatMessageHistory") else None


# LangGraph's stores ------------------------------------------------------------------------------------------------


def _namespaces(of: Any, told: Mapping[str, Any]) -> Mapping[str, Sequence[Any]]:
    """The items of the namespaces that a batch names."""
    names = {tuple(name) for name in told.get("namespaces", ())}
    return {json.dumps(name): Values(of._data[name]) if name in of._data else () for name in names}


def _item(item: Any) -> tuple[str, Any]:
    rest = {"key": item.key, "namespace": list(item.namespace)}
    return json.dumps(item.value), {
        **rest,
        "created_at": item.created_at.isoformat(),
        "updated_at": item.updated_at.isoformat(),
    }


def _item_again(text: str, data: Any) -> Any:
    made: Any = importlib.import_module("langgraph.store.base").Item
    return made(value=json.loads(text), **data)


_STORE = Keeper(_namespaces, _item, _item_again)


def store(of: Any) -> Keeper | None:
    """How a store keeps its items; None for one that has a place of its own for them."""
    return _STORE if _is(of, "langgraph.store.memory", "InMemoryStore") else None


# Checkpoints -------------------------------------------------------------------------------------------------------


def _checkpoints(of: Any, told: Mapping[str, Any]) -> Mapping[str, Sequence[Any]]:
    """Checkpoints, pending writes and new channel values of a thread; each a list of its own, since they have no order."""
    thread = told.get("thread_id")
    if thread is None:
        return {}
    if thread not in of.storage:
        return {f"{kind}:{thread}:*": () for kind in ("checkpoint", "writes", "channel")}
    found: dict[str, Sequence[Any]] = {}
    for space, checkpoints in of.storage[thread].items():
        for name, checkpoint in checkpoints.items():
            place = f"{thread}:{space}:{name}"
            found[f"checkpoint:{place}"] = (checkpoint,)
            found[f"writes:{place}"] = (
                tuple(of.writes[thread, space, name].values()) if (thread, space, name) in of.writes else ()
            )
    space = told.get("checkpoint_ns", "")
    for channel, version in dict(told.get("versions") or {}).items():
        value = of.blobs.get((thread, space, channel, version))
        found[f"channel:{thread}:{space}:{channel}:{version}"] = () if value is None else (value,)
    return found


def _plain(value: Any) -> Any:
    """Tuples of bytes and texts, as plain data."""
    if isinstance(value, bytes):
        return {"base64": base64.b64encode(value).decode()}
    if isinstance(value, tuple):
        return [_plain(one) for one in value]  # pyright: ignore[reportUnknownVariableType]
    return value


_SAVER = Keeper(_checkpoints, lambda item: ("", _plain(item)))


def saver(of: Any) -> Keeper | None:
    """How a checkpointer keeps its checkpoints; None for one that has a place of its own for them."""
    return _SAVER if _is(of, "langgraph.checkpoint.memory", "InMemorySaver") else None
