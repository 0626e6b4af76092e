"""Memory: the messages that an agent keeps of each conversation, and the memos of a teachable agent."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, cast

from aios_adapters.autogen_classic import _kept
from aios_adapters.autogen_classic._identity import FRAMEWORK, scope
from aios_adapters.calls import Store
from aios_adapters.patching import Patch

__all__ = ["PATCHES"]

_AGENT = "autogen.agentchat.conversable_agent"
_MEMOS = "autogen.agentchat.contrib.capabilities.teachability"
Function = Callable[..., Any]
_store, _memos = Store(FRAMEWORK, _kept.conversations), Store(FRAMEWORK)


def _message(args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Mapping[str, Any]:
    """What is kept, and of the conversation with whom; the order of the other arguments is the version's own."""
    given: Any = args[0] if args else kwargs.get("message")
    text: Any = cast("Mapping[str, Any]", given).get("content") if isinstance(given, Mapping) else given
    partner = next((one.name for one in (*args[1:], *kwargs.values()) if hasattr(one, "name")), None)
    return {"text": text if isinstance(text, str) else None, "with": partner}


def _asked(args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Mapping[str, Any]:
    """A memo's text, or what memos are sought for."""
    return {"text": next((one for one in (*args, *kwargs.values()) if isinstance(one, str)), None)}


def _own(wrap: Callable[[Function], Function]) -> Callable[[Function], Function]:
    """Remember and forget as the agent whose memory it is, whoever sent the message."""

    def wrap_own(native: Function) -> Function:
        call = wrap(native)

        def method(self: Any, *args: Any, **kwargs: Any) -> Any:
            with scope(self):
                return call(self, *args, **kwargs)

        return method

    return wrap_own


PATCHES = [
    Patch(
        module=_AGENT,
        path="ConversableAgent._append_oai_message",
        wrap=_own(_store.plain("add", _message)),
        subclasses=True,
    ),
    Patch(module=_AGENT, path="ConversableAgent.last_message", wrap=_own(_store.plain("get")), subclasses=True),
    Patch(
        module=_AGENT,
        path="ConversableAgent.chat_messages_for_summary",
        wrap=_own(_store.plain("list")),
        subclasses=True,
    ),
    Patch(module=_AGENT, path="ConversableAgent.clear_history", wrap=_own(_store.plain("remove")), subclasses=True),
    Patch(module=_MEMOS, path="MemoStore.add_input_output_pair", wrap=_memos.plain("add", _asked), optional=True),
    Patch(module=_MEMOS, path="MemoStore.get_related_memos", wrap=_memos.plain("retrieve", _asked), optional=True),
    Patch(module=_MEMOS, path="MemoStore.get_nearest_memo", wrap=_memos.plain("retrieve", _asked), optional=True),
    Patch(module=_MEMOS, path="MemoStore.reset_db", wrap=_memos.plain("remove"), optional=True),
]
