"""Histories: what a run reads of its session and keeps is a syscall; the provider's own store does the work."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from aios_adapters.agent_framework._identity import NAME
from aios_adapters.calls import amemory_call
from aios_kernel.abi import MemoryCall

__all__ = ["get", "save"]

Function = Callable[..., Any]
_KEY = (NAME, "history")


def get(native: Function) -> Function:
    """Gate the reading of a session's messages."""

    async def get_messages(self: Any, session_id: Any = None, **kwargs: Any) -> Any:
        build = lambda: MemoryCall(verb="get", arguments=_known(self, session_id))  # noqa: E731
        return await amemory_call(NAME, build, lambda: native(self, session_id, **kwargs), key=_KEY)

    return get_messages


def save(native: Function) -> Function:
    """Gate the keeping of messages."""

    async def save_messages(self: Any, session_id: Any, messages: Any, **kwargs: Any) -> Any:
        def build() -> MemoryCall:
            kept = [{"role": str(message.role), "content": message.text} for message in messages]
            return MemoryCall(verb="add", arguments={**_known(self, session_id), "messages": kept})

        return await amemory_call(NAME, build, lambda: native(self, session_id, messages, **kwargs), key=_KEY)

    return save_messages


def _known(provider: Any, session_id: Any) -> dict[str, Any]:
    return {"store": type(provider).__name__, "session": session_id}
