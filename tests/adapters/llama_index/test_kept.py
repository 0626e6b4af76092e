"""With `memory=True` what memories keep is in the kernel's memory too, item by item, and programs give what they gave."""

from __future__ import annotations

import asyncio
import base64
import json
import logging
from contextlib import closing

import pytest
from llama_index.core.base.llms.types import ImageBlock, TextBlock
from llama_index.core.chat_engine import SimpleChatEngine
from llama_index.core.llms import ChatMessage
from llama_index.core.memory import (
    ChatMemoryBuffer,
    ChatSummaryMemoryBuffer,
    FactExtractionMemoryBlock,
    Memory,
    SimpleComposableMemory,
)
from llama_index.core.storage.chat_store import SimpleChatStore

import aios_adapters
from aios_kernel.kernel import Kernel
from aios_kernel.memory import MemoryManager
from tests.adapters.llama_index.models import Functions
from tests.adapters.llama_index.programs import ASYNC as ASYNC_PROGRAMS
from tests.adapters.llama_index.programs import agent, model, seen
from tests.adapters.llama_index.test_memory import blocks, buffer, every_async_call, every_call, said, summary
from tests.support.columns import ASYNC, IDENTITY, MEMORY
from tests.support.kept import ask, edit, kept_kernel, notes, texts
from tests.support.runs import requests

__all__ = ["kept_kernel"]

pytestmark = pytest.mark.shows(MEMORY)

PIXEL = base64.b64encode(b"not really an image")


def composed():
    return SimpleComposableMemory.from_defaults(primary_memory=buffer(), secondary_memory_sources=[buffer()])


KINDS = pytest.mark.parametrize("make", [buffer, blocks, summary, composed])


def _filled(*said_: str) -> ChatMemoryBuffer:
    memory = buffer()
    memory.put_messages([said(text) for text in said_])
    return memory


async def _talk(url: str, memory):
    """An agent uses a tool and remembers, and is asked again."""
    bob = agent(url)
    first = await bob.run("weigh", memory=memory)
    second = await bob.run("what was that", memory=memory)
    return str(first), str(second), await memory.aget_all()


@pytest.mark.shows(IDENTITY, ASYNC)
@pytest.mark.parametrize("make", [buffer, blocks])
async def test_an_agent(make, endpoint, kept_kernel):
    """It answers as it did by the same requests; its notes are its own, and say what it remembers."""
    with aios_adapters.paused():
        native, sent = await _talk(endpoint.base_url, make()), requests(endpoint)
    endpoint.reset()
    found = await _talk(endpoint.base_url, make())
    assert seen(found) == seen(native)
    assert seen(requests(endpoint)) == seen(sent)
    kept = texts(kept_kernel, "bob")
    assert kept == [message.content or "" for message in found[2]]
    assert "what was that" in kept


@pytest.mark.shows(ASYNC)
@pytest.mark.parametrize("name", ASYNC_PROGRAMS)
async def test_programs(name, endpoint, kept_kernel):
    """Agents of every kind and teams of them stream the same events, by the same requests."""
    program, *_ = ASYNC_PROGRAMS[name]
    with aios_adapters.paused():
        native, sent = seen(await program(endpoint.base_url)), requests(endpoint)
    endpoint.reset()
    assert seen(await program(endpoint.base_url)) == native
    assert requests(endpoint) == sent


def test_a_chat_engine(endpoint, kept_kernel):
    """A conversation of three turns sends what it sent."""

    def talk():
        engine = SimpleChatEngine.from_defaults(llm=model(endpoint.base_url), memory=buffer())
        return [engine.chat(text).response for text in ("one", "two", "three")], engine.chat_history

    with aios_adapters.paused():
        native, sent = talk(), requests(endpoint)
    endpoint.reset()
    assert seen(talk()) == seen(native)
    assert requests(endpoint) == sent
    assert texts(kept_kernel) == [message.content for message in native[1]]


@KINDS
def test_every_call(make, kept_kernel):
    """Every method gives what it gave; what is reset is gone."""
    with aios_adapters.paused():
        native = every_call(make())
    memory = make()
    assert every_call(memory) == native
    assert notes(kept_kernel) == []
    memory.put(said("more"))
    assert set(texts(kept_kernel)) == {"more"}


@pytest.mark.shows(ASYNC)
@KINDS
async def test_every_async_call(make, kept_kernel):
    """The same in an event loop."""
    with aios_adapters.paused():
        native = await every_async_call(make())
    memory = make()
    assert await every_async_call(memory) == native
    assert notes(kept_kernel) == []
    await memory.aput(said("more"))
    assert set(texts(kept_kernel)) == {"more"}


@KINDS
async def test_a_limited_memory(make, enabled):
    """One call of memory at a time is enough, in the loop and from a synchronous call inside it."""
    limits = {"memory": {"in_flight": 1}, "*": {"in_flight": 1}}
    with closing(Kernel(managers=[MemoryManager("memory")], limits=limits)) as kernel:
        enabled(kernel=kernel, memory=True)
        await asyncio.wait_for(every_async_call(make()), 30)
        every_call(make())


def test_what_is_changed_is_read_back(kept_kernel):
    """Messages that are edited or removed are so in the program; the others are the objects that they were."""
    memory = _filled("one", "two", "three")
    first = memory.get_all()[0]
    _, second, third = notes(kept_kernel)
    edit(kept_kernel, second, "zwei")
    ask(kept_kernel, "remove", id=third["id"])
    found = memory.get()
    assert found == [said("one"), said("zwei")]
    assert found[0] is first
    memory.put(said("more"))
    assert texts(kept_kernel) == ["one", "zwei", "more"]


async def test_an_edit_reaches_the_model(endpoint, kept_kernel):
    """What somebody writes into an agent's memory is what its next request says."""
    memory, bob = buffer(), agent(endpoint.base_url)
    await bob.run("remember this", memory=memory)
    note = next(note for note in notes(kept_kernel, "bob") if note["text"] == "remember this")
    edit(kept_kernel, note, "remember that", "bob")
    await bob.run("again", memory=memory)
    assert endpoint.requests[-1].body["messages"][0]["content"] == "remember that"


def test_messages_of_every_kind(kept_kernel, caplog):
    """Blocks, arguments of calls and odd values: a change of the text leaves all else the objects that they were."""
    odd = object()
    given = [
        ChatMessage(role="assistant", content="", additional_kwargs={"tool_calls": [said("like a call")]}),
        ChatMessage(role="user", blocks=[TextBlock(text="a"), ImageBlock(image=PIXEL), TextBlock(text="b")]),
        ChatMessage(role="user", content="odd", additional_kwargs={"odd": odd}),
        said("half \udcff"),
    ]
    memory = buffer()
    with caplog.at_level(logging.WARNING):
        memory.put_messages(given)
    assert "cannot be kept" in caplog.text
    assert memory.get_all() == given
    call, parts, half = notes(kept_kernel)
    assert (call["text"], parts["text"], half["text"]) == ("", "a\nb", "half ?")
    edit(kept_kernel, call, "called")
    edit(kept_kernel, parts, "c")
    called, changed, *rest = memory.get_all()
    assert called.content == "called"
    assert called.additional_kwargs["tool_calls"][0] is given[0].additional_kwargs["tool_calls"][0]
    assert [block.block_type for block in changed.blocks] == ["text", "image"]
    assert changed.content == "c"
    assert changed.blocks[1] is given[1].blocks[1]
    assert all(one is other for one, other in zip(rest, given[2:], strict=True))


def test_a_note_brings_in_no_files(kept_kernel, caplog, tmp_path):
    """A role and blocks that are changed are read back, but files that the program did not name are not."""
    memory = _filled("one")
    (note,) = notes(kept_kernel)

    def write(**fields):
        data = {**json.loads(note["metadata"]["data"]), **fields}
        ask(kept_kernel, "update", id=note["id"], text="one", metadata={**note["metadata"], "data": json.dumps(data)})

    write(role="assistant", blocks=[{"block_type": "text", "text": ""}, {"block_type": "image", "image": "aGk="}])
    (found,) = memory.get_all()
    assert (found.role, found.content, found.blocks[1].block_type) == ("assistant", "one", "image")
    secret = tmp_path / "secret"
    secret.write_text("secret")
    for block in ({"block_type": "image", "path": str(secret)}, {"block_type": "document", "url": "file://x"}):
        caplog.clear()
        write(blocks=[{"block_type": "citable", "title": "t", "source": "s", "content": [block]}])
        assert memory.get_all() == [found]
        assert "cannot add files" in caplog.text


def test_a_store_that_many_share(kept_kernel):
    """Each conversation is its user's, also through memories that come and go."""
    store = SimpleChatStore()
    for turn in range(2):
        for name in ("ann", "ben"):
            with aios_adapters.agent(name):
                ChatMemoryBuffer.from_defaults(chat_store=store, chat_store_key=name).put(said(f"{name} {turn}"))
    assert [texts(kept_kernel, name) for name in ("ann", "ben")] == [["ann 0", "ann 1"], ["ben 0", "ben 1"]]
    edit(kept_kernel, notes(kept_kernel, "ben")[0], "changed", "ben")
    for name, first in (("ann", "ann 0"), ("ben", "changed")):
        memory = ChatMemoryBuffer.from_defaults(chat_store=store, chat_store_key=name)
        assert [message.content for message in memory.get()] == [first, f"{name} 1"]


def test_summaries(kept_kernel):
    """A memory that puts a summary in the place of old messages has that in its notes, and gives what it gave."""

    def use():
        memory = ChatSummaryMemoryBuffer.from_defaults(llm=Functions(), token_limit=8)
        for text in ("one two three four", "five six seven eight", "nine"):
            memory.put(said(text))
            memory.get()
        return memory.get_all()

    with aios_adapters.paused():
        native = use()
    assert use() == native
    assert native[0].content == "hello big world"
    assert sorted(texts(kept_kernel)) == sorted(message.content for message in native)


class Facts(Functions):
    """Finds facts in what is said."""

    def _reply(self, text="<fact>likes tea</fact><fact>has cats</fact>", **fields):
        return super()._reply(text, **fields)


@pytest.mark.shows(ASYNC)
async def test_facts(kept_kernel):
    """What a block has found out is in notes, and read back: the model is told what is there now."""

    async def use(memory):
        for number in range(4):
            await memory.aput(said(f"message {number} is long enough to push the others out"))
            await memory.aput(ChatMessage(role="assistant", content="so it is, and so is this one"))
        return await memory.aget(), await memory.aget_all()

    def make():
        return Memory.from_defaults(
            session_id="s", token_limit=30, token_flush_size=10, memory_blocks=[FactExtractionMemoryBlock(llm=Facts())]
        )

    with aios_adapters.paused():
        native = await use(make())
    memory = make()
    assert await use(memory) == native
    assert "likes tea" in native[0][0].content
    kept = notes(kept_kernel)
    assert len(kept) == 8 + 2  # messages that the queue has put out are in the database still
    edit(kept_kernel, next(note for note in kept if note["text"] == "likes tea"), "likes coffee")
    assert "likes coffee" in (await memory.aget())[0].content
    assert memory.memory_blocks[0].facts == ["likes coffee", "has cats"]


@pytest.mark.shows(ASYNC)
async def test_a_history_that_was_there(kept_kernel):
    """Messages that a memory is made with are kept from its first write on, and one that failed leaves nothing wrong."""
    memory = Memory.from_defaults(session_id="s", chat_history=[said("a"), said("b")])
    await memory.aput(said("c"))
    assert texts(kept_kernel) == ["a", "b", "c"]
    before = notes(kept_kernel)
    with pytest.raises(ValueError, match="serialize"):
        await memory.aput(ChatMessage(role="user", content="odd", additional_kwargs={"odd": object()}))
    mine = said("d")
    memory.put(mine)
    mine.blocks[0].text = "changed by the program, which the database does not see"
    await memory.aput(said("e"))
    assert texts(kept_kernel) == [message.content for message in await memory.aget_all()] == ["a", "b", "c", "d", "e"]
    assert notes(kept_kernel)[:3] == before
    await memory.aset([said("f")])
    assert texts(kept_kernel) == ["f"]
    with pytest.raises(ValueError, match="serialize"):  # the old ones are gone by then
        await memory.aset([said("g"), ChatMessage(role="user", content="odd", additional_kwargs={"odd": object()})])
    await memory.aput(said("h"))
    assert texts(kept_kernel) == [message.content for message in await memory.aget_all()] == ["h"]


async def test_a_database_of_ones_own(kept_kernel, tmp_path):
    """It is a place of the program's own, and not kept twice."""
    memory = Memory.from_defaults(async_database_uri=f"sqlite+aiosqlite:///{tmp_path}/chat.db")
    await memory.aput(said("a"))
    assert notes(kept_kernel) == []
