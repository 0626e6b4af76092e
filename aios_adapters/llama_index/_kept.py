"""What LlamaIndex's memories keep, item by item, for the kernel's memory."""

from __future__ import annotations

import sys
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from typing import Any

from aios_adapters._log import log
from aios_adapters.calls import Visit, Visits, visit, visits
from aios_adapters.shelves import Keeper

__all__ = ["at", "remember"]

_TYPES = "llama_index.core.base.llms.types"
_IN_MEMORY = frozenset({"sqlite+aiosqlite:///:memory:", "sqlite+aiosqlite://"})
#: Conversations in databases, by the id of the store, of which it is not known what they are.
_DOUBTFUL: set[tuple[int, str]] = set()


def at(memory: Any) -> Visits | None:
    """Come to the shelves of all that a memory is made of."""
    return visits(_parts(memory))


def _parts(memory: Any) -> Iterator[Visit | None]:
    """Chat stores may be shared: each conversation in one has a shelf of its own."""
    if _is(memory, "memory.types", "BaseChatStoreMemory") or _is(
        memory, "memory.chat_summary_memory_buffer", "ChatSummaryMemoryBuffer"
    ):
        key: str = memory.chat_store_key
        yield visit(memory.chat_store, _chat_store, lambda: {"key": key}, part=key)
    elif _is(memory, "memory.simple_composable_memory", "SimpleComposableMemory"):
        for part in (memory.primary_memory, *memory.secondary_memory_sources):
            yield from _parts(part)
    elif _is(memory, "memory.memory", "Memory"):
        for block in memory.memory_blocks:
            yield visit(block, _facts, dict)


async def remember(memory: Any, native: Callable[..., Awaitable[Any]], *args: Any, **kwargs: Any) -> Any:
    """Write to a memory; where its messages are in a database in memory, tell what has changed there.

    Such messages are told and not read back: a database gives messages, and takes none in the place of others. It is asked
    only where it must be: one in memory has one connection, on which those who read undo what others write meanwhile.
    """
    if not _is(memory, "memory.memory", "Memory"):
        return await native(memory, *args, **kwargs)
    session: str = memory.session_id
    now: list[Any] = []
    shelf = visit(memory.sql_store, _database, lambda: {"messages": now}, part=session)
    if shelf is None:
        return await native(memory, *args, **kwargs)
    place = (id(memory.sql_store), session)
    given = _given(memory, native, args, kwargs)
    try:
        result = await native(memory, *args, **kwargs)
    except BaseException:
        _DOUBTFUL.add(place)
        raise
    known = shelf.held("messages")
    if known and given is not None and place not in _DOUBTFUL:
        now += given(known)
    else:
        try:
            now += await _rows(memory.sql_store, session, shelf)
        except Exception:  # noqa: BLE001 - the program may never read what it has written
            _DOUBTFUL.add(place)
            log.warning("what %s keeps cannot be read for the kernel's memory", session, exc_info=True)
            return result
        _DOUBTFUL.discard(place)
    await shelf.aafter()
    return result


async def _rows(store: Any, session: str, shelf: Visit) -> list[Any]:
    """Every message of a conversation; those that are known are the objects that they were."""
    while True:
        known = shelf.held("messages")
        every = await store.get_messages(session, status=None)
        if list(map(id, known)) == list(map(id, shelf.held("messages"))):  # nobody has told more in the meantime
            return [known[i] if i < len(known) and known[i] == one else one for i, one in enumerate(every)]


def _given(
    memory: Any, native: Callable[..., Any], args: tuple[Any, ...], kwargs: Mapping[str, Any]
) -> Callable[[list[Any]], list[Any]] | None:
    """What a call makes of the messages that are there; None where only the database can tell."""
    values = (*args, *kwargs.values())
    if type(memory) is not getattr(sys.modules["llama_index.core.memory.memory"], "Memory", None) or len(values) > 1:
        return None
    name = native.__name__
    if name == "areset":
        return None if values else lambda _: []
    written: Any = values if name == "aput" else next(iter(values), None)
    if type(written) not in {tuple, list}:  # what can be read once is the database's to read
        return None
    # As they are now, which is how they are written: the program may change its own ones.
    try:
        copies: list[Any] = [type(one).model_validate(one.model_dump(mode="json")) for one in written]
    except Exception:  # noqa: BLE001 - the call itself says what is wrong
        return None
    return (lambda _: copies) if name == "aset" else (lambda known: [*known, *copies])


# Messages ----------------------------------------------------------------------------------------------------------


def _message(message: Any) -> tuple[str, Any]:
    """A message as its text and the rest of it; where it has one block of text, this is not there twice."""
    data: dict[str, Any] = message.model_dump(mode="json")
    texts = [block for block in data["blocks"] if block["block_type"] == "text"]
    text = "\n".join(block["text"] for block in texts)
    if len(texts) == 1:
        texts[0]["text"] = ""
    return text, data


def _changed(message: Any, text: str, data: Mapping[str, Any]) -> Any:
    """A message with what is different in its note; all else are the objects that it had.

    Blocks are of LlamaIndex's own kinds, as it reads them itself. Files and addresses that the message did not have are not
    taken from a note, which may be anybody's: LlamaIndex would read them for the model.
    """
    before_text, before = _message(message)
    different: dict[str, Any] = {}
    if text != before_text or data["blocks"] != before["blocks"]:
        if _sources(data["blocks"]) - _sources(before["blocks"]):
            raise ValueError("a note cannot add files and addresses to a message")
        blocks = _with_text(data["blocks"], text)
        made = sys.modules[_TYPES].ChatMessage.model_validate({"blocks": blocks}).blocks
        old = list(zip(_with_text(before["blocks"], before_text), message.blocks, strict=True))
        different["blocks"] = [
            old[i][1] if i < len(old) and old[i][0] == block else made[i] for i, block in enumerate(blocks)
        ]
    if data["role"] != before["role"]:
        different["role"] = sys.modules[_TYPES].MessageRole(data["role"])
    if data["additional_kwargs"] != before["additional_kwargs"]:
        different["additional_kwargs"] = dict(data["additional_kwargs"])
    return message.model_copy(update=different)


def _with_text(blocks: Sequence[Mapping[str, Any]], text: str) -> list[dict[str, Any]]:
    """The blocks with a text in place of theirs; several stay as they are if that is what they say together."""
    texts = [block["text"] for block in blocks if block["block_type"] == "text"]
    if len(texts) > 1 and "\n".join(texts) == text:
        return [dict(block) for block in blocks]
    found: list[dict[str, Any]] = []
    left = [text] if texts or text else []
    for block in blocks:
        if block["block_type"] != "text":
            found.append(dict(block))
        elif left:
            found.append({**block, "text": left.pop()})
    return [{"block_type": "text", "text": left.pop()}, *found] if left else found


def _sources(data: Any) -> set[str]:
    if isinstance(data, list):
        return {source for one in data for source in _sources(one)}  # pyright: ignore[reportUnknownVariableType]
    if not isinstance(data, Mapping):
        return set()
    found = {str(data[name]) for name in ("path", "url") if data.get(name)}  # pyright: ignore[reportUnknownMemberType,reportUnknownArgumentType]
    return found.union(*(_sources(one) for one in data.values()))  # pyright: ignore[reportUnknownVariableType]


# Stores ------------------------------------------------------------------------------------------------------------


def _conversation(store: Any, told: Mapping[str, Any]) -> Mapping[str, Sequence[Any]]:
    return {"messages": store.store.get(told["key"], ())}


_CHAT = Keeper(_conversation, _message, amend=_changed)
_DATABASE = Keeper(lambda _, told: told, _message)
_FACTS = Keeper(lambda block, _: {"facts": block.facts}, lambda fact: (fact, None), lambda text, _: text)


def _chat_store(of: Any) -> Keeper | None:
    return _CHAT if _is(of, "storage.chat_store.simple_chat_store", "SimpleChatStore") else None


def _database(of: Any) -> Keeper | None:
    """A database in memory; others are a place of the program's own."""
    if not _is(of, "storage.chat_store.sql", "SQLAlchemyChatStore"):
        return None
    engine = of._async_engine
    if engine is None:
        return _DATABASE if of.async_database_uri in _IN_MEMORY else None
    inside = engine.url.get_backend_name() == "sqlite" and engine.url.database in {None, "", ":memory:"}
    return _DATABASE if inside else None


def _facts(of: Any) -> Keeper | None:
    return _FACTS if _is(of, "memory.memory_blocks.fact", "FactExtractionMemoryBlock") else None


def _is(value: Any, module: str, name: str) -> bool:
    """Whether a value is of a class of LlamaIndex's, without an import of it."""
    found = getattr(sys.modules.get(f"llama_index.core.{module}"), name, None)
    return found is not None and isinstance(value, found)
