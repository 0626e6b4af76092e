"""What sessions keep of their histories in memory, message by message, for the kernel's memory."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from aios_adapters._wording import Place, exact, put_back, taken_out
from aios_adapters.calls import visit
from aios_adapters.shelves import Keeper

__all__ = ["during"]

Function = Callable[..., Any]


def during(native: Function) -> Function:
    """Bring a session and the kernel's memory together around what a history provider does with it."""

    async def visited(self: Any, **kwargs: Any) -> Any:
        at = visit(kwargs["session"], lambda _: _keeper(self), lambda: {"source": self.source_id})
        if at is None:
            return await native(self, **kwargs)
        await at.abefore()
        try:
            return await native(self, **kwargs)
        finally:
            await at.aafter()

    return visited


def _keeper(provider: Any) -> Keeper | None:
    """How a session keeps the messages of a provider; None for one that has a place of its own for them."""
    found = getattr(sys.modules.get("agent_framework"), "InMemoryHistoryProvider", None)
    return _HISTORY if found is not None and isinstance(provider, found) else None


def _messages(session: Any, told: Mapping[str, Any]) -> Mapping[str, Sequence[Any]]:
    state: Mapping[str, Any] = session.state.get(told["source"]) or {}
    return {str(told["source"]).rstrip("*"): state.get("messages") or ()}


def _message(message: Any) -> tuple[str, Any]:
    """A message's words, and all the rest of it as the framework writes it: without a provider's raw form."""
    if type(message) is not _message_class():
        raise TypeError(f"a {type(message).__name__} is not the framework's own message")
    data = exact(message.to_dict())
    for content in data["contents"]:
        texts = _results(content)
        # What a tool gave is in its result twice, in parts and in one.
        if len(texts) == 1 and content.get("result") == texts[0]["text"]:
            del content["result"]
    return taken_out(_words(data)), data


def _message_again(text: str, data: Any) -> Any:
    put_back(text, _words(data))
    for content in data["contents"]:
        texts = _results(content)
        if len(texts) == 1:
            content.setdefault("result", texts[0]["text"])
    return _message_class().from_dict(data)


def _message_class() -> Any:
    return sys.modules["agent_framework"].Message


def _words(data: Any) -> list[Place]:
    """Where a message has words: its contents that are text, and the texts that tools gave."""
    found = [part for content in data["contents"] for part in (content, *_results(content))]
    return [(part, "text") for part in found if part.get("type") == "text" and isinstance(part.get("text"), str)]


def _results(content: Any) -> list[Any]:
    items: Any = content.get("items") if content.get("type") == "function_result" else None
    return [item for item in items or () if item.get("type") == "text"]


_HISTORY = Keeper(_messages, _message, _message_again)
