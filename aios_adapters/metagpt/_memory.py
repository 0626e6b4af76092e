"""Memory: what roles keep and look up. The calls are synchronous and made inside the running event loop."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any, Literal

from aios_adapters.calls import Store
from aios_adapters.metagpt import _kept
from aios_adapters.metagpt._identity import FRAMEWORK
from aios_adapters.patching import Patch

__all__ = ["PATCHES"]

Function = Callable[..., Any]
Verb = Literal["add", "get", "update", "remove", "retrieve", "list"]
_store = Store(FRAMEWORK, _kept.memory)
_VERBS: Mapping[str, Verb] = {
    "add": "add",
    "add_batch": "add",
    "get": "get",
    "get_by_role": "retrieve",
    "get_by_content": "retrieve",
    "get_by_action": "retrieve",
    "get_by_actions": "retrieve",
    "try_remember": "retrieve",
    "find_news": "retrieve",
    "count": "list",
    "delete": "remove",
    "delete_newest": "remove",
    "clear": "remove",
}
_TALK: Mapping[str, Verb] = {
    "add_talk": "add",
    "add_answer": "add",
    "add_history": "add",
    "get_knowledge": "get",
    "exists": "retrieve",
    "set_history_summary": "update",
    "dumps": "update",
}


def _told(args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Mapping[str, Any]:
    """What is kept or asked for, where that is text: a message's content, a keyword."""
    given: Any = next(iter((*args, *kwargs.values())), None)
    text: Any = getattr(given, "content", given)
    return {"text": text} if isinstance(text, str) else {}


def _either(verb: Verb) -> Callable[[Function], Function]:
    """Wrap a method of either kind: `find_news` is a plain one in Memory and a coroutine in LongTermMemory."""

    def wrap(native: Function) -> Function:
        kind = _store.coroutine if inspect.iscoroutinefunction(native) else _store.plain
        return kind(verb, _told)(native)

    return wrap


PATCHES = [
    *(
        Patch(module="metagpt.memory.memory", path=f"Memory.{name}", wrap=_either(verb), subclasses=True)
        for name, verb in _VERBS.items()
    ),
    *(
        Patch(module="metagpt.memory.brain_memory", path=f"BrainMemory.{name}", wrap=_either(verb), subclasses=True)
        for name, verb in _TALK.items()
    ),
]
