"""Memory: what agents and chat engines read and write is a syscall each, with identical results."""

from __future__ import annotations

import pytest
from llama_index.core.chat_engine import SimpleChatEngine
from llama_index.core.llms import ChatMessage
from llama_index.core.memory import ChatMemoryBuffer, ChatSummaryMemoryBuffer, Memory, StaticMemoryBlock

from aios_kernel.abi import MemoryCall
from aios_kernel.errors import AccessDenied
from aios_kernel.kernel import Kernel
from tests.adapters.llama_index.models import Functions, Words
from tests.adapters.llama_index.programs import agent
from tests.support.columns import ASYNC, DENIAL, MEMORY, ONCE

pytestmark = pytest.mark.shows(MEMORY)


def said(text: str) -> ChatMessage:
    return ChatMessage(role="user", content=text)


def buffer():
    return ChatMemoryBuffer.from_defaults(token_limit=500)


def blocks():
    return Memory.from_defaults(session_id="s", memory_blocks=[StaticMemoryBlock(name="who", static_content="Bob")])


def summary():
    return ChatSummaryMemoryBuffer.from_defaults(llm=Functions(), token_limit=500)


def every_call(memory):
    """Use a memory in every synchronous way."""
    memory.put(said("a"))
    memory.put_messages([said("b"), said("c")])
    found = [memory.get(), memory.get(input="b"), memory.get_all()]
    memory.set([said("d")])
    found.append(memory.get_all())
    memory.reset()
    return [*found, memory.get_all()]


async def every_async_call(memory):
    """The same in an event loop."""
    await memory.aput(said("a"))
    await memory.aput_messages([said("b"), said("c")])
    found = [await memory.aget(), await memory.aget(input="b"), await memory.aget_all()]
    await memory.aset([said("d")])
    found.append(await memory.aget_all())
    await memory.areset()
    return [*found, await memory.aget_all()]


@pytest.fixture
def recorded(enabled):
    """The memory calls of the rest of a test."""
    calls = []
    kernel = Kernel(
        checks=(lambda call, process: calls.append(call),), limits={"memory": {"in_flight": 1}, "*": {"in_flight": 1}}
    )
    yield lambda: (enabled(kernel=kernel), calls)[1]
    kernel.close()


VERBS = ["add", "add", "get", "retrieve", "list", "update", "list", "remove", "list"]


@pytest.mark.shows(ONCE)
@pytest.mark.parametrize("make", [buffer, blocks, summary])
def test_every_call(make, recorded):
    """Each use is one syscall of its verb, however a memory's methods call each other and its blocks."""
    native = every_call(make())
    calls = recorded()
    assert every_call(make()) == native
    assert [call.verb for call in calls if isinstance(call, MemoryCall)] == VERBS


@pytest.mark.shows(ONCE, ASYNC)
@pytest.mark.parametrize("make", [buffer, blocks, summary])
async def test_every_async_call(make, recorded):
    """The same in an event loop, where some memories run their synchronous methods in a thread."""
    native = await every_async_call(make())
    calls = recorded()
    assert await every_async_call(make()) == native
    assert [call.verb for call in calls if isinstance(call, MemoryCall)] == VERBS


def test_what_the_kernel_is_told(recorded):
    """Which store, whose session, what is asked and what is kept."""
    calls, memory = recorded(), blocks()
    memory.put(said("a"))
    memory.get(input="b")
    memory.set([said("c"), said("d")])
    add, retrieve, update = calls
    assert add.arguments == {"store": "Memory", "session": "s", "messages": [{"role": "user", "content": "a"}]}
    assert retrieve.arguments == {"store": "Memory", "session": "s", "query": "b"}
    assert [one["content"] for one in update.arguments["messages"]] == ["c", "d"]


async def test_agents_and_chat_engines(endpoint, enabled):
    """An agent's reads and writes are the agent's; a chat engine's are its caller's."""
    kernel = enabled()
    await agent(endpoint.base_url).run("weigh")
    SimpleChatEngine.from_defaults(llm=Words(), memory=buffer()).chat("hello")
    rows = {row["name"]: row["syscalls"].get("memory", 0) for row in kernel.status().agents}
    assert rows["bob"] >= 4
    assert rows["root"] >= 2


@pytest.mark.shows(DENIAL)
def test_refused(enabled):
    """A refused write raises and is not made."""

    def check(call, process):
        if isinstance(call, MemoryCall) and call.verb == "add":
            raise AccessDenied("not yours")

    kernel = Kernel(checks=(check,))
    enabled(kernel=kernel)
    memory = buffer()
    with pytest.raises(AccessDenied, match="not yours"):
        memory.put(said("a"))
    assert memory.get_all() == []
    kernel.close()
