"""Sessions: what a run reads of a conversation and adds to it is a syscall; the session's own store does the work."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

from aios_adapters.calls import amemory_call, visit
from aios_adapters.openai_agents import _kept
from aios_adapters.openai_agents._identity import NAME
from aios_kernel.abi import MemoryCall

__all__ = ["METHODS"]

Function = Callable[..., Any]
#: A session that wraps another one, and methods that call their siblings, are one access.
_KEY = (NAME, "session")


def _session(verb: Literal["add", "get", "remove"], whole: bool = False) -> Callable[[Function], Function]:
    def wrap(native: Function) -> Function:
        async def access(self: Any, *args: Any, **kwargs: Any) -> Any:
            def build() -> MemoryCall:
                arguments: dict[str, Any] = {"store": type(self).__name__}
                # The id of some sessions is a property that raises until they have been used.
                session = getattr(self, "session_id", None) if isinstance(vars(self).get("session_id"), str) else None
                if session is not None:
                    arguments["session"] = session
                if verb == "add":
                    arguments["items"] = list(args[0] if args else kwargs["items"])
                if verb == "get":
                    arguments["limit"] = args[0] if args else kwargs.get("limit")
                if whole:
                    arguments["all"] = True
                return MemoryCall(verb=verb, arguments=arguments)

            at = visit(_kept.kept_by(self), _kept.keeper, dict)
            return await amemory_call(NAME, build, lambda: native(self, *args, **kwargs), key=_KEY, at=at)

        return access

    return wrap


#: Name and replacement of every method of a session.
METHODS: tuple[tuple[str, Callable[[Function], Function]], ...] = (
    ("get_items", _session("get")),
    ("add_items", _session("add")),
    ("pop_item", _session("remove")),
    ("clear_session", _session("remove", whole=True)),
)
