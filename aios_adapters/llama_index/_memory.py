"""Memory: what agents and chat engines read and write is a syscall; the memory's own store does the work."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

from aios_adapters.calls import amemory_call, memory_call
from aios_adapters.llama_index import _kept
from aios_adapters.llama_index._leaves import NAME
from aios_kernel.abi import MemoryCall

__all__ = ["METHODS"]

Function = Callable[..., Any]
Verb = Literal["add", "get", "update", "remove", "retrieve", "list"]
#: Memories are made of memories, and their asynchronous methods run the synchronous ones or the other way round.
_KEY = (NAME, "memory")
_READING = frozenset({"get", "list"})


def _memory(verb: Verb) -> Callable[[Function], Function]:
    def wrap(native: Function) -> Function:
        def access(self: Any, *args: Any, **kwargs: Any) -> Any:
            run = lambda: native(self, *args, **kwargs)  # noqa: E731
            return memory_call(NAME, lambda: _call(verb, self, args, kwargs), run, key=_KEY, at=_kept.at(self))

        return access

    return wrap


def _amemory(verb: Verb) -> Callable[[Function], Function]:
    def wrap(native: Function) -> Function:
        async def access(self: Any, *args: Any, **kwargs: Any) -> Any:
            if verb in _READING:
                run = lambda: native(self, *args, **kwargs)  # noqa: E731
            else:  # here, because synchronous methods run this one in a loop of their own
                run = lambda: _kept.remember(self, native, *args, **kwargs)  # noqa: E731
            return await amemory_call(NAME, lambda: _call(verb, self, args, kwargs), run, key=_KEY, at=_kept.at(self))

        return access

    return wrap


def _call(verb: Verb, memory: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> MemoryCall:
    names = {"get": "input", "add": "message", "update": "messages"}
    given: Any = args[0] if args else kwargs.get(names.get(verb, ""), kwargs.get("messages"))
    arguments: dict[str, Any] = {"store": type(memory).__name__}
    session = getattr(memory, "session_id", None) or getattr(memory, "chat_store_key", None)
    if session:
        arguments["session"] = session
    if verb == "get" and given is not None:
        return MemoryCall(verb="retrieve", arguments={**arguments, "query": str(given)})
    if verb in {"add", "update"}:
        messages: Any = given if hasattr(given, "append") else [given]
        arguments["messages"] = [{"role": str(one.role.value), "content": one.content} for one in messages]
    return MemoryCall(verb=verb, arguments=arguments)


#: Name, replacement and coverage of every method. Those that a memory has to define itself are abstract in the base.
METHODS: tuple[tuple[str, Callable[[Function], Function], bool | Literal["only"]], ...] = (
    ("get", _memory("get"), "only"),
    ("get_all", _memory("list"), "only"),
    ("put", _memory("add"), "only"),
    ("put_messages", _memory("add"), True),
    ("set", _memory("update"), "only"),
    ("reset", _memory("remove"), "only"),
    ("aget", _amemory("get"), True),
    ("aget_all", _amemory("list"), True),
    ("aput", _amemory("add"), True),
    ("aput_messages", _amemory("add"), True),
    ("aset", _amemory("update"), True),
    ("areset", _amemory("remove"), True),
)
