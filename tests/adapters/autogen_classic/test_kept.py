"""With `memory=True` what agents keep of their conversations is in the kernel's memory too, and programs give what they gave."""

from __future__ import annotations

import json
import logging
from typing import Any

import pytest
from autogen import ConversableAgent

import aios_adapters
from tests.adapters.autogen_classic import programs
from tests.adapters.autogen_classic.programs import PROGRAMS, config, pair, run
from tests.support.columns import ASYNC, IDENTITY, LEASE, MEMORY
from tests.support.kept import ask, kept_kernel, notes
from tests.support.runs import requests

__all__ = ["kept_kernel"]
pytestmark = pytest.mark.shows(MEMORY)

CALL = {"id": "c1", "type": "function", "function": {"name": "weigh", "arguments": '{"what": "apple"}'}}
RESULTS = [{"tool_call_id": f"c{n}", "role": "tool", "content": f"{n} g"} for n in range(1, 3)]
MESSAGES: list[dict[str, Any]] = [
    {"content": "hello \udcff", "role": "user"},
    {"content": [{"type": "text", "text": "what is"}, {"type": "image_url", "image_url": {"url": "http://x/y.png"}}]},
    {"content": None, "tool_calls": [CALL]},
    {"role": "tool", "tool_responses": RESULTS[:1], "content": "1 g"},
    {"role": "tool", "tool_responses": RESULTS, "content": "1 g\n\n2 g"},
    {"content": None, "function_call": {"name": "weigh", "arguments": "{}"}},
    {"role": "function", "name": "weigh", "content": "3 g"},
    {"content": "with more", "context": {"n": [1, None]}},
]
TEXTS = ["hello ?", "what is", "", "1 g", "1 g\n\n2 g", "", "3 g", "with more"]


def _agents(*names: str) -> list[ConversableAgent]:
    return [ConversableAgent(name, llm_config=False, human_input_mode="NEVER") for name in names]


def _told(agent: ConversableAgent, by: ConversableAgent) -> list[dict[str, Any]]:
    for message in MESSAGES:
        by.send(message, agent, request_reply=False, silent=True)
    return agent.chat_messages[by]


def test_messages_of_every_kind(kept_kernel):
    """Each message is a note of each of the two; what is forgotten is gone, with one or with all."""
    alice, bob, carol = _agents("alice", "bob", "carol")
    with aios_adapters.paused():
        native = [dict(message) for message in _told(*_agents("alice", "bob"))]
    assert _told(alice, bob) == native
    _told(alice, carol)
    assert [note["text"] for note in notes(kept_kernel, "alice", list="bob")] == TEXTS
    assert [note["text"] for note in notes(kept_kernel, "bob", list="alice")] == TEXTS
    assert notes(kept_kernel) == []
    alice.clear_history(nr_messages_to_preserve=2)
    assert [note["text"] for note in notes(kept_kernel, "alice")] == TEXTS[-2:] * 2
    alice.clear_history(bob)
    assert [note["metadata"]["list"] for note in notes(kept_kernel, "alice")] == ["carol"] * 2
    alice.clear_history()
    assert notes(kept_kernel, "alice") == []
    assert len(notes(kept_kernel, "bob")) == len(MESSAGES)


def test_messages_are_read_back(kept_kernel):
    """A message whose words were changed there is changed here: in its content, its part, or what the tool gave."""
    alice, bob = _agents("alice", "bob")
    before = json.loads(json.dumps(_told(alice, bob)))
    before[0]["content"] = TEXTS[0]
    for note in notes(kept_kernel, "alice"):
        if note["text"] and "\n" not in note["text"]:
            ask(kept_kernel, "update", "alice", id=note["id"], text=f"{note['text']}!")
    alice.last_message(bob)
    found = alice.chat_messages[bob]
    for at in (0, 6, 7):
        before[at]["content"] += "!"
    before[1]["content"][0]["text"] += "!"
    before[3]["content"] += "!"
    before[3]["tool_responses"][0]["content"] += "!"
    assert found == before
    assert [list(message) for message in found] == [list(message) for message in before]  # in the same order


def test_what_no_note_can_hold(kept_kernel, caplog):
    """A message with objects in it stays the program's, and is logged."""
    alice, bob = _agents("alice", "bob")
    with caplog.at_level(logging.WARNING):
        bob.send({"content": "x", "context": {"it": object()}}, alice, request_reply=False, silent=True)
    bob.send("y", alice, request_reply=False, silent=True)
    assert "cannot be kept in the kernel's memory" in caplog.text
    assert [message["content"] for message in alice.chat_messages[bob]] == ["x", "y"]
    assert [note["text"] for note in notes(kept_kernel, "alice")] == ["y"]


def test_others_of_one_name(kept_kernel):
    """Conversations with two agents of one name are two lists."""
    alice, first, second = _agents("alice", "bob", "bob")
    first.send("one", alice, request_reply=False, silent=True)
    second.send("two", alice, request_reply=False, silent=True)
    found = {note["metadata"]["list"]: note["text"] for note in notes(kept_kernel, "alice")}
    assert found == {"bob": "one", "bob 2": "two"}


@pytest.mark.shows(LEASE, ASYNC)
@pytest.mark.parametrize("name", [name for name in PROGRAMS if name not in ("wrapper", "streaming")])
def test_programs(endpoint, kept_kernel, name):
    """They say, ask and keep what they did without the kernel's memory, and everything they keep is in it."""
    program = PROGRAMS[name][0]
    with aios_adapters.paused():
        native = run(program, config(endpoint.base_url))
    sent = requests(endpoint)
    endpoint.reset()
    assert run(program, config(endpoint.base_url)) == native
    assert requests(endpoint) == sent


@pytest.mark.shows(IDENTITY)
def test_whose_it_is(endpoint, kept_kernel):
    """In a group each agent's notes are those that it keeps itself, and the manager's are its own."""
    agents, manager = programs.team(config(endpoint.base_url), speaker_selection_method="round_robin")
    agents[0].initiate_chat(manager, message="count", silent=True)
    for agent in (*agents, manager):
        kept = [message["content"] for messages in agent.chat_messages.values() for message in messages]
        assert sorted(note["text"] for note in notes(kept_kernel, agent.name)) == sorted(kept)
    assert notes(kept_kernel) == []


def test_what_an_agent_is_told_through_the_memory(endpoint, kept_kernel):
    """A change in an agent's notes is in the next request to its model, also when it is asked directly."""
    assistant, user = pair(config(endpoint.base_url), tools=())
    user.send("I am Ada", assistant, request_reply=False, silent=True)
    (note,) = notes(kept_kernel, "alice")
    ask(kept_kernel, "update", "alice", id=note["id"], text="I am Grace")
    assistant.generate_reply(sender=user)
    assert [m["content"] for m in endpoint.requests[-1].body["messages"]] == ["Help.", "I am Grace"]
    ask(kept_kernel, "remove", "alice", id=note["id"])
    user.send("hello", assistant, request_reply=True, silent=True)
    assert [m["content"] for m in endpoint.requests[-1].body["messages"]] == ["Help.", "hello"]
    assert [note["text"] for note in notes(kept_kernel, "user")][:2] == ["I am Ada", "hello"]
