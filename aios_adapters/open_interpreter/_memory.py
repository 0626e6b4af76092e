"""Memory: an interpreter's messages. They stay the plain list they are; each read of it and each new one is a syscall."""

from __future__ import annotations

import threading
import weakref
from collections.abc import Callable, Iterator
from typing import Any

from aios_adapters.calls import memory_call, visit
from aios_adapters.open_interpreter import _kept
from aios_adapters.open_interpreter._identity import FRAMEWORK, agent_of
from aios_kernel.abi import MemoryCall

__all__ = ["read", "reset", "store"]

Function = Callable[..., Any]
#: The messages that were seen, by interpreter: ids hold for as long as the list holds the messages.
_SEEN: weakref.WeakKeyDictionary[Any, frozenset[int]] = weakref.WeakKeyDictionary()
_LOCK = threading.Lock()


def store(native: Function) -> Function:
    """Wrap `_respond_and_store`: a message is added once it is whole, when its end is announced.

    What others changed in the kernel's memory is looked for before the model is asked for the first time, and where a run
    of code has ended: behind that the messages are copied for the next time. Between the question whether code may run
    and its run nothing is exchanged.
    """

    def _respond_and_store(self: Any) -> Iterator[Any]:
        _exchange(self, look=True)
        _add_new(self)
        chunks = native(self)
        try:
            for chunk in chunks:
                if chunk.get("end"):
                    _add_new(self)
                elif chunk.get("format") == "active_line" and chunk.get("content") is None:
                    _exchange(self, look=True)
                yield chunk
        finally:
            chunks.close()
            _add_new(self)

    return _respond_and_store


def read(native: Function) -> Function:
    """Wrap `Llm.run`, which is given a copy of the messages."""

    def run(self: Any, messages: Any) -> Iterator[Any]:
        _add_new(self.interpreter)  # the end of a run's output is announced only after this
        _note(self.interpreter, "get", {"messages": len(messages)})
        yield from native(self, messages)

    return run


def reset(native: Function) -> Function:
    """Wrap `OpenInterpreter.reset`."""

    def reset(self: Any) -> Any:
        _note(self, "remove", {"messages": len(self.messages)})
        result = native(self)
        _exchange(self)
        return result

    return reset


def _add_new(interpreter: Any) -> None:
    messages = list(interpreter.messages)
    with _LOCK:
        before = _SEEN.get(interpreter, frozenset())
        _SEEN[interpreter] = frozenset(map(id, messages))
    for message in messages:
        if id(message) not in before:
            _note(interpreter, "add", {"message": dict(message)})
    _exchange(interpreter)


def _exchange(interpreter: Any, *, look: bool = False) -> None:
    """Tell the kernel's memory what is new, and take what was changed there; `look` also where nothing is new."""
    at = visit(interpreter, _kept.messages, dict, agent=agent_of(interpreter))
    if at is None:
        return
    if look:
        at.before()
    at.after()


def _note(interpreter: Any, verb: Any, arguments: dict[str, Any]) -> None:
    def build() -> MemoryCall:
        return MemoryCall(verb=verb, arguments=arguments, agent=agent_of(interpreter))

    memory_call(FRAMEWORK, build, lambda: None)
