"""Memory: what agents remember, and the messages they keep for their model; both stay in AutoGen's own objects."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from aios_adapters.autogen import _kept
from aios_adapters.autogen._identity import FRAMEWORK
from aios_adapters.calls import Store
from aios_adapters.patching import Patch

__all__ = ["PATCHES"]

_MEMORY = "autogen_core.memory"
_CONTEXT = "autogen_core.model_context"
_memories, _contexts = Store(FRAMEWORK, _kept.memory), Store(FRAMEWORK, _kept.context)


def _text(args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Mapping[str, Any]:
    """What is asked for or kept, where that is text."""
    given: Any = next(iter((*args, *kwargs.values())), None)
    text: Any = getattr(given, "content", given)
    return {"text": text} if isinstance(text, str) else {}


# A memory's `update_context` asks the memory and adds to the agent's context, which is another store.
PATCHES = [
    Patch(module=_MEMORY, path="Memory.update_context", wrap=_memories.coroutine("retrieve"), subclasses="only"),
    Patch(module=_MEMORY, path="Memory.query", wrap=_memories.coroutine("retrieve", _text), subclasses="only"),
    Patch(module=_MEMORY, path="Memory.add", wrap=_memories.coroutine("add", _text), subclasses="only"),
    Patch(module=_MEMORY, path="Memory.clear", wrap=_memories.coroutine("remove"), subclasses="only"),
    Patch(
        module=_CONTEXT,
        path="ChatCompletionContext.add_message",
        wrap=_contexts.coroutine("add", _text),
        subclasses=True,
    ),
    Patch(
        module=_CONTEXT, path="ChatCompletionContext.get_messages", wrap=_contexts.coroutine("get"), subclasses="only"
    ),
    Patch(module=_CONTEXT, path="ChatCompletionContext.clear", wrap=_contexts.coroutine("remove"), subclasses=True),
    Patch(module=_CONTEXT, path="ChatCompletionContext.save_state", wrap=_contexts.coroutine("list"), subclasses=True),
    Patch(
        module=_CONTEXT, path="ChatCompletionContext.load_state", wrap=_contexts.coroutine("update"), subclasses=True
    ),
]
