"""Memory: what roles keep and look up are memory syscalls, made inside the running loop; MetaGPT's own store does the work."""

from __future__ import annotations

import asyncio
import threading
from contextlib import closing

import pytest
from metagpt.actions import UserRequirement
from metagpt.memory import Memory
from metagpt.memory.brain_memory import BrainMemory
from metagpt.schema import Message

from aios_kernel.abi import MemoryCall
from aios_kernel.errors import AccessDenied
from aios_kernel.kernel import Kernel
from tests.adapters.metagpt.programs import Coder, context, message, team
from tests.support.columns import ASYNC, DENIAL, IDENTITY, LEASE, MEMORY

pytestmark = pytest.mark.shows(MEMORY)
#: verb of each method, with a use of it
USES = {
    "add": ("add", lambda memory: memory.add(message("three"))),
    "add_batch": ("add", lambda memory: memory.add_batch([message("three"), message("four")])),
    "get": ("get", lambda memory: memory.get(1)),
    "get_by_role": ("retrieve", lambda memory: memory.get_by_role("user")),
    "get_by_content": ("retrieve", lambda memory: memory.get_by_content("one")),
    "get_by_action": ("retrieve", lambda memory: memory.get_by_action(UserRequirement)),
    "get_by_actions": ("retrieve", lambda memory: memory.get_by_actions({UserRequirement})),
    "try_remember": ("retrieve", lambda memory: memory.try_remember("two")),
    "find_news": ("retrieve", lambda memory: memory.find_news([message("new"), memory.storage[0]])),
    "count": ("list", lambda memory: memory.count()),
    "delete": ("remove", lambda memory: memory.delete(memory.storage[0])),
    "delete_newest": ("remove", lambda memory: memory.delete_newest()),
    "clear": ("remove", lambda memory: memory.clear()),
}


class Recalling(Memory):
    """A memory like MetaGPT's long-term one: it asks another store, in a coroutine, what is really new."""

    async def find_news(self, observed, k=0):
        news = super().find_news(observed, k=k)
        await asyncio.sleep(0.01)
        return news[-k:]


@pytest.fixture
def seen(enabled):
    """The memory calls that reach the kernel; refused where `seen.refuse` says so."""
    calls = []

    def check(call, process):
        if isinstance(call, MemoryCall):
            calls.append((process.name, call))

    with closing(Kernel(checks=(check,))) as kernel:
        enabled(kernel=kernel)
        yield calls


def two() -> Memory:
    return Memory(storage=[message("one"), message("two")])


def plain(value):
    """What can be compared of a result: ids are new with each message."""
    if isinstance(value, Message):
        return value.content
    return [plain(one) for one in value] if isinstance(value, list) else value


@pytest.mark.shows(LEASE)
@pytest.mark.parametrize("name", USES)
async def test_each_method(name, enabled):
    """The method gives and leaves behind what it did before; it is one syscall, whatever it calls on its own store."""
    verb, use = USES[name]
    native = two()
    result = plain(use(native))
    calls = []
    with closing(Kernel(checks=(lambda call, process: calls.append(call),))) as kernel:
        enabled(kernel=kernel)
        memory = two()
        assert plain(use(memory)) == result
        assert [(call.verb, call.arguments["operation"]) for call in calls] == [(verb, name)]
        assert kernel.status().syscalls == {"memory": 1}
    assert plain(memory.storage) == plain(native.storage)


@pytest.mark.shows(IDENTITY)
async def test_a_teams_memories(endpoint, seen):
    """Each role's reads and writes are its own, with what is kept."""
    await team(endpoint.base_url)
    kept = [(name, call.arguments.get("text")) for name, call in seen if call.arguments["operation"] == "add"]
    assert [name for name, _ in kept] == ["Alice", "Bob", "Carol"]
    assert all(text for _, text in kept)
    assert {call.verb for _, call in seen} >= {"add", "get"}


@pytest.mark.shows(ASYNC)
async def test_a_memory_that_waits(enabled):
    """A memory whose reads are coroutines shares a limited resource with plain ones in the same loop, and none hangs."""
    kernel = enabled(limits={"memory": {"in_flight": 1}})
    first, second = Recalling(), Memory()

    async def write():
        for index in range(3):
            second.add(message(str(index)))
            await asyncio.sleep(0)

    news, _ = await asyncio.wait_for(asyncio.gather(first.find_news([message("a")]), write()), 5)
    assert plain(news) == ["a"]
    assert kernel.status().syscalls == {"memory": 4}


@pytest.mark.shows(DENIAL)
async def test_denied(endpoint, enabled):
    """A refused write raises, and comes out of `run` as every failure of a role does, with the reason in its text."""

    def check(call, process):
        if isinstance(call, MemoryCall) and call.verb == "add":
            raise AccessDenied(f"{process.name} may not keep anything")

    with closing(Kernel(checks=(check,))) as kernel:
        enabled(kernel=kernel)
        with pytest.raises(PermissionError, match="root may not"):
            Memory().add(message("one"))
        with pytest.raises(Exception, match="Alice may not keep anything"):
            await Coder(context=context(endpoint.base_url)).run("go")
        assert endpoint.requests == []


async def test_other_threads(enabled):
    """Memories are used from threads without a loop too."""
    kernel = enabled()
    memory = Memory()
    threads = [threading.Thread(target=memory.add, args=(message(str(index)),)) for index in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(memory.storage) == 4
    assert kernel.status().syscalls == {"memory": 4}


@pytest.mark.shows(LEASE)
async def test_brain_memory(enabled):
    """The assistants' memory is seen too, with the same results."""

    def use():
        brain = BrainMemory()
        brain.add_talk(Message(content="question", id="1"))
        brain.add_answer(Message(content="answer", id="2"))
        brain.knowledge.append(Message(content="fact"))
        return [plain(brain.history), brain.get_knowledge(), brain.exists("question"), brain.is_dirty]

    native = use()
    assert native == [["question", "answer"], "fact", True, True]
    kernel = enabled()
    assert use() == native
    assert kernel.status().syscalls == {"memory": 4}
