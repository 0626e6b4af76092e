"""Memory: the messages that agents keep are memory calls, and are kept as before."""

from __future__ import annotations

import pytest
from autogen import ConversableAgent

from aios_kernel.abi import MemoryCall
from aios_kernel.kernel import Kernel
from tests.adapters.autogen_classic.programs import chat, config
from tests.support.columns import MEMORY

pytestmark = pytest.mark.shows(MEMORY)


@pytest.fixture
def seen(enabled):
    """Enable with a kernel that notes each memory call and whose it is."""
    calls = []

    def check(call, process):
        if isinstance(call, MemoryCall):
            calls.append((process.name, call.verb, call.arguments))

    kernel = Kernel(checks=(check,))
    enabled(kernel=kernel)
    yield calls
    kernel.close()


def test_messages(endpoint, seen):
    """Each message of a chat is kept twice, by the agent that sends it and by the one that receives it."""
    history, _ = chat(config(endpoint.base_url))
    kept = [arguments for _, verb, arguments in seen if verb == "add"]
    assert len(kept) == 2 * len(history)
    assert [one["text"] for one in kept[:2]] == ["weigh", "weigh"]
    assert {one["with"] for one in kept} == {"alice", "user"}
    assert {one["operation"] for one in kept} == {"_append_oai_message"}


def test_whose_it_is(endpoint, seen):
    """An agent's memory is its own, also when another's message is put into it."""
    chat(config(endpoint.base_url))
    assert {(name, arguments["with"]) for name, verb, arguments in seen if verb == "add"} == {
        ("alice", "user"),
        ("user", "alice"),
    }


def test_reading_and_clearing(seen):
    """What a program asks an agent's memory, and has it forget, gives what it gives without the kernel."""
    bob = ConversableAgent("bob", llm_config=False)
    carol = ConversableAgent("carol", llm_config=False)
    bob.send("hello", carol, request_reply=False, silent=True)
    assert carol.last_message(bob)["content"] == "hello"
    carol.clear_history()
    assert carol.chat_messages[bob] == []
    assert [(name, verb) for name, verb, _ in seen] == [
        ("bob", "add"),
        ("carol", "add"),
        ("carol", "get"),
        ("carol", "remove"),
    ]
