"""Memory: checkpoints, stores and chat histories; what is kept stays in the framework's own objects."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from aios_adapters.calls import Store, Visit, amemory_call, memory_call, visit
from aios_adapters.langchain import _kept
from aios_adapters.langchain._leaves import NAME
from aios_adapters.patching import Patch
from aios_kernel.abi import MemoryCall

__all__ = ["PATCHES"]

Function = Callable[..., Any]
_SAVER = "langgraph.checkpoint.base"
_STORE = "langgraph.store.base"
_HISTORY = "langchain_core.chat_history"
_RUNNABLE = "langchain_core.runnables.history"
_savers, _histories = Store(NAME, _kept.saver), Store(NAME, _kept.history)


def _thread(args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Mapping[str, Any]:
    """Which conversation a checkpoint belongs to."""
    config: Any = args[0] if args else kwargs.get("config")
    if isinstance(config, str):  # `delete_thread` has the thread itself
        return {"thread_id": config}
    found: Mapping[str, Any] = config.get("configurable") or {} if config else {}
    return {key: str(found[key]) for key in ("thread_id", "checkpoint_ns", "checkpoint_id") if found.get(key)}


def _put(args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Mapping[str, Any]:
    """Which conversation, and which of its channels have new values."""
    versions: Any = args[3] if len(args) > 3 else kwargs.get("new_versions")
    return {**_thread(args, kwargs), "versions": dict(versions or {})}


# Stores: one batch of operations is one call -----------------------------------------------------------------------

#: What a batch is called when it has operations of several kinds: the first that it has.
_VERBS = {"PutOp": "add", "SearchOp": "retrieve", "ListNamespacesOp": "list", "GetOp": "get"}


def batch(native: Function) -> Function:
    """Gate `BaseStore.batch`."""

    def batch(self: Any, ops: Any) -> Any:
        # It may be an iterator, which is read once.
        ops = list(ops)
        return memory_call(
            NAME, lambda: _batch(self, ops), lambda: native(self, ops), key=(NAME, id(self)), at=_at(self, ops)
        )

    return batch


def abatch(native: Function) -> Function:
    """Gate `BaseStore.abatch`."""

    async def abatch(self: Any, ops: Any) -> Any:
        ops = list(ops)
        return await amemory_call(
            NAME, lambda: _batch(self, ops), lambda: native(self, ops), key=(NAME, id(self)), at=_at(self, ops)
        )

    return abatch


def _batch(store: Any, ops: list[Any]) -> MemoryCall | None:
    if not ops:
        return None
    kinds = {type(op).__name__ for op in ops}
    verb: Any = next((_VERBS[kind] for kind in _VERBS if kind in kinds), "get")
    if kinds == {"PutOp"} and all(op.value is None for op in ops):
        verb = "remove"
    return MemoryCall(
        verb=verb,
        arguments={"store": type(store).__name__, "operation": "batch", "items": [_told(op) for op in ops]},
    )


def _at(store: Any, ops: list[Any]) -> Visit | None:
    return visit(store, _kept.store, lambda: {"namespaces": [op.namespace for op in ops if hasattr(op, "namespace")]})


def _told(op: Any) -> dict[str, Any]:
    namespace = getattr(op, "namespace", None) or getattr(op, "namespace_prefix", ())
    told = {"namespace": "/".join(namespace), "key": getattr(op, "key", None), "query": getattr(op, "query", None)}
    return {"operation": type(op).__name__, **{name: value for name, value in told.items() if value}}


# Chat histories ----------------------------------------------------------------------------------------------------


def enter_history(native: Function) -> Function:
    """Gate a run's reading of its history, which is an attribute of the store and not a call."""

    def enter_history(self: Any, value: Any, config: Any) -> Any:
        history = config["configurable"]["message_history"]
        build = lambda: MemoryCall(  # noqa: E731
            verb="get", arguments={"store": type(history).__name__, "operation": "messages"}
        )
        return memory_call(
            NAME,
            build,
            lambda: native(self, value, config),
            key=(NAME, id(history)),
            at=visit(history, _kept.history, dict),
        )

    return enter_history


PATCHES = [
    Patch(module=_SAVER, path="BaseCheckpointSaver.get_tuple", wrap=_savers.plain("get", _thread), subclasses="only"),
    Patch(module=_SAVER, path="BaseCheckpointSaver.put", wrap=_savers.plain("add", _put), subclasses="only"),
    Patch(module=_SAVER, path="BaseCheckpointSaver.put_writes", wrap=_savers.plain("add", _thread), subclasses="only"),
    Patch(module=_SAVER, path="BaseCheckpointSaver.list", wrap=_savers.generator("list", _thread), subclasses="only"),
    Patch(
        module=_SAVER,
        path="BaseCheckpointSaver.delete_thread",
        wrap=_savers.plain("remove", _thread),
        subclasses="only",
    ),
    Patch(
        module=_SAVER, path="BaseCheckpointSaver.aget_tuple", wrap=_savers.coroutine("get", _thread), subclasses="only"
    ),
    Patch(module=_SAVER, path="BaseCheckpointSaver.aput", wrap=_savers.coroutine("add", _put), subclasses="only"),
    Patch(
        module=_SAVER, path="BaseCheckpointSaver.aput_writes", wrap=_savers.coroutine("add", _thread), subclasses="only"
    ),
    Patch(
        module=_SAVER,
        path="BaseCheckpointSaver.alist",
        wrap=_savers.asynchronous_generator("list", _thread),
        subclasses="only",
    ),
    Patch(
        module=_SAVER,
        path="BaseCheckpointSaver.adelete_thread",
        wrap=_savers.coroutine("remove", _thread),
        subclasses="only",
    ),
    Patch(module=_STORE, path="BaseStore.batch", wrap=batch, subclasses="only"),
    Patch(module=_STORE, path="BaseStore.abatch", wrap=abatch, subclasses="only"),
    # The base's own forms call one another: all of them are gated, and the outermost is the call. Its test whether a
    # class has an `add_messages` of its own holds, since both sides of it are the same function.
    Patch(module=_HISTORY, path="BaseChatMessageHistory.add_message", wrap=_histories.plain("add"), subclasses=True),
    Patch(module=_HISTORY, path="BaseChatMessageHistory.add_messages", wrap=_histories.plain("add"), subclasses=True),
    Patch(
        module=_HISTORY, path="BaseChatMessageHistory.aadd_messages", wrap=_histories.coroutine("add"), subclasses=True
    ),
    Patch(
        module=_HISTORY, path="BaseChatMessageHistory.aget_messages", wrap=_histories.coroutine("get"), subclasses=True
    ),
    Patch(module=_HISTORY, path="BaseChatMessageHistory.clear", wrap=_histories.plain("remove"), subclasses="only"),
    Patch(module=_HISTORY, path="BaseChatMessageHistory.aclear", wrap=_histories.coroutine("remove"), subclasses=True),
    Patch(module=_RUNNABLE, path="RunnableWithMessageHistory._enter_history", wrap=enter_history),
]
