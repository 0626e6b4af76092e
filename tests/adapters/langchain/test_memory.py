"""Memory: what agents keep between turns goes through the kernel and comes back as without it."""

from __future__ import annotations

import asyncio

import pytest
from langchain.agents import create_agent
from langchain_core.chat_history import BaseChatMessageHistory, InMemoryChatMessageHistory
from langchain_core.messages import AIMessage, HumanMessage
from langchain_core.runnables import RunnableLambda
from langchain_core.runnables.history import RunnableWithMessageHistory
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.store.memory import InMemoryStore

import aios_adapters
from aios_kernel.errors import AccessDenied
from aios_kernel.kernel import Kernel
from tests.adapters.langchain.programs import ask, model, weigh
from tests.support.columns import DENIAL, IDENTITY, LEASE, MEMORY

# LangChain itself calls its chat histories deprecated, in words that differ by version.
pytestmark = [pytest.mark.shows(MEMORY), pytest.mark.filterwarnings("ignore::DeprecationWarning")]


def _count() -> int:
    return aios_adapters.status().syscalls.get("memory", 0)


def _watch(kernel):
    """The memory calls that are submitted, as (agent, label, thread)."""
    seen = []

    def note(event):
        if event.name == "submit" and event.kind == "memory":
            arguments = event.content.arguments
            seen.append((event.agent, arguments["operation"], arguments.get("thread_id", "")))

    kernel.bus.subscribe(note)
    return seen


def _shapes(result):
    return [(message.type, message.content) for message in result["messages"]]


def _two_turns(url, saver=None):
    """A conversation of two turns that its checkpoints tie together."""
    agent = create_agent(model(url), [weigh], name="bob", checkpointer=saver or InMemorySaver())
    config = {"configurable": {"thread_id": "t1"}}
    agent.invoke(ask("weigh"), config)
    result = agent.invoke(ask("weigh again"), config)
    history = [len(state.values.get("messages", ())) for state in agent.get_state_history(config)]
    return _shapes(result), history


async def _two_turns_async(url):
    agent = create_agent(model(url), [weigh], name="bob", checkpointer=InMemorySaver())
    config = {"configurable": {"thread_id": "t1"}}
    await agent.ainvoke(ask("weigh"), config)
    result = await agent.ainvoke(ask("weigh again"), config)
    history = [len(state.values.get("messages", ())) async for state in agent.aget_state_history(config)]
    return _shapes(result), history


@pytest.mark.shows(LEASE, IDENTITY)
def test_checkpoints(endpoint, enabled):
    """Each read and write of a checkpoint is one syscall of the agent, and the conversation is the same."""
    native = _two_turns(endpoint.base_url)
    kernel = enabled(kernel=Kernel(record_content=True))
    seen = _watch(kernel)
    assert _two_turns(endpoint.base_url) == native
    assert {(agent, thread) for agent, _, thread in seen if agent != "root"} == {("bob", "t1")}
    operations = [operation for _, operation, _ in seen]
    assert set(operations) == {"get_tuple", "put", "put_writes", "list"}
    assert _count() == len(operations)
    kernel.close()


async def test_checkpoints_async(endpoint, enabled):
    """The asynchronous forms, which call the synchronous ones here, are one syscall each."""
    native = await _two_turns_async(endpoint.base_url)
    kernel = enabled(kernel=Kernel(record_content=True))
    seen = _watch(kernel)
    assert await _two_turns_async(endpoint.base_url) == native
    assert {operation for _, operation, _ in seen} == {"aget_tuple", "aput", "aput_writes", "alist"}
    kernel.close()


def test_threads_are_deleted_through_the_kernel(enabled):
    """A removed conversation is a memory call too."""
    saver = InMemorySaver()
    kernel = enabled(kernel=Kernel(record_content=True))
    seen = _watch(kernel)
    saver.delete_thread("t1")
    assert seen == [("root", "delete_thread", "t1")]
    kernel.close()


def _store_program(store):
    store.put(("users", "a"), "name", {"value": "Ada"})
    store.put(("users", "b"), "name", {"value": "Bo"})
    found = store.get(("users", "a"), "name").value
    listed = [item.value for item in store.search(("users",))]
    names = store.list_namespaces()
    store.delete(("users", "a"), "name")
    return found, listed, names, store.get(("users", "a"), "name")


async def _store_program_async(store):
    await store.aput(("users", "a"), "name", {"value": "Ada"})
    found = (await store.aget(("users", "a"), "name")).value
    listed = [item.value for item in await store.asearch(("users",))]
    await store.adelete(("users", "a"), "name")
    return found, listed, await store.aget(("users", "a"), "name")


def test_stores(enabled):
    """Every operation of a store is one syscall, of the verb that it is."""
    native = _store_program(InMemoryStore())
    verbs = []
    kernel = enabled(kernel=Kernel(record_content=True))
    kernel.bus.subscribe(lambda event: verbs.append(event.label) if event.name == "submit" else None)
    assert _store_program(InMemoryStore()) == native
    expected = ["add", "add", "get", "retrieve", "list", "remove", "get"]
    assert verbs == [f"memory {verb}" for verb in expected]
    verbs.clear()
    assert asyncio.run(_store_program_async(InMemoryStore())) == ({"value": "Ada"}, [{"value": "Ada"}], None)
    assert verbs == [f"memory {verb}" for verb in ("add", "get", "retrieve", "remove", "get")]
    kernel.close()


class OneByOne(BaseChatMessageHistory):
    """A history that only knows how to add one message."""

    def __init__(self):
        self.messages = []

    def add_message(self, message):
        self.messages.append(message)

    def clear(self):
        self.messages = []


@pytest.mark.parametrize("kind", [InMemoryChatMessageHistory, OneByOne])
def test_chat_histories(enabled, kind):
    """However its methods call one another, each use of a history is one syscall."""
    enabled()
    history = kind()
    history.add_user_message("a")
    assert _count() == 1
    history.add_messages([AIMessage("b"), HumanMessage("c")])
    assert _count() == 2
    asyncio.run(history.aadd_messages([AIMessage("d")]))
    assert _count() == 3
    assert [message.content for message in asyncio.run(history.aget_messages())] == ["a", "b", "c", "d"]
    assert _count() == 4
    history.clear()
    assert (_count(), history.messages) == (5, [])


def test_a_run_with_history_reads_and_writes_it(enabled):
    """`RunnableWithMessageHistory` gives the same answers, with one read and one write a turn at least."""

    def turns():
        history = InMemoryChatMessageHistory()
        chain = RunnableWithMessageHistory(
            RunnableLambda(lambda messages: AIMessage(f"{len(messages)} so far")), lambda session_id: history
        )
        config = {"configurable": {"session_id": "s"}}
        answers = [chain.invoke([HumanMessage("hi")], config).content for _ in range(2)]
        return answers, [message.content for message in history.messages]

    native = turns()
    verbs = []
    kernel = enabled(kernel=Kernel())
    kernel.bus.subscribe(lambda event: verbs.append(event.label) if event.name == "submit" else None)
    assert turns() == native
    assert verbs == ["memory get", "memory add"] * 2
    kernel.close()


@pytest.mark.shows(DENIAL)
def test_a_refused_write_raises_and_writes_nothing(enabled):
    """Memory that the kernel refuses is an error the program sees, never a silent loss."""

    def refuse(call, process):
        if call.kind == "memory" and call.verb == "add":
            raise AccessDenied("not yours")

    kernel = Kernel(checks=(refuse,))
    enabled(kernel=kernel)
    history, store = InMemoryChatMessageHistory(), InMemoryStore()
    with pytest.raises(AccessDenied, match="not yours"):
        history.add_user_message("a")
    with pytest.raises(AccessDenied, match="not yours"):
        store.put(("users",), "name", {"value": "Ada"})
    assert (history.messages, store.get(("users",), "name")) == ([], None)
    kernel.close()
