"""What agents keep of each conversation, message by message, for the kernel's memory."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from aios_adapters._wording import Place, exact, put_back, taken_out
from aios_adapters.shelves import Keeper

__all__ = ["conversations"]


def _lists(agent: Any, told: Mapping[str, Any]) -> Mapping[str, Sequence[Any]]:
    """The agent's list of each conversation, by the other's name; of several of one name, all but the first have a number."""
    del told
    found: dict[str, Sequence[Any]] = {"*": ()}
    for other, messages in agent._oai_messages.items():
        name = base = str(getattr(other, "name", other)).rstrip("*")
        number = 1
        while name in found:
            number += 1
            name = f"{base} {number}"
        found[name] = messages
    return found


def _message(message: Any) -> tuple[str, Any]:
    """A message's words, and all the rest of it, each field in its place."""
    data = exact(message)
    whole: Any = data.get("content")
    text = taken_out(_words(data))
    # What several tools gave is in a message twice: for each, and joined.
    joined = bool(data.get("tool_responses")) and whole == text
    if joined:
        data["content"] = ""
    return text, {"message": data, "joined": joined}


def _message_again(text: str, data: Any) -> Any:
    message = data["message"]
    put_back(text, _words(message))
    if data["joined"]:
        message["content"] = text
    return message


def _words(message: Any) -> list[Place]:
    """Where a message has words: what tools gave, its content, or the parts of it that are text."""
    results: Any = message.get("tool_responses")
    content: Any = message.get("content")
    if results:
        return [(result, "content") for result in results]
    if isinstance(content, str):
        return [(message, "content")]
    return [(part, "text") for part in content or () if part.get("type") == "text"]


_CONVERSATIONS = Keeper(_lists, _message, _message_again)


def conversations(of: Any) -> Keeper | None:
    """How an agent keeps its conversations; None for one that keeps none here."""
    return _CONVERSATIONS if isinstance(getattr(of, "_oai_messages", None), dict) else None
