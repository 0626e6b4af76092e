"""With `memory=True` what sessions keep is in the kernel's memory too, and programs give what they gave."""

from __future__ import annotations

import json
import logging
from typing import Any

import pytest
from agent_framework import AgentSession, Content, InMemoryHistoryProvider, Message

import aios_adapters
from tests.adapters.agent_framework.programs import ASYNC, agent, measure, seen, weigh
from tests.support.columns import ASYNC as ASYNCHRONOUS
from tests.support.columns import IDENTITY, LEASE, MEMORY, STREAM
from tests.support.kept import ask, kept_kernel, notes
from tests.support.runs import comparer, requests

__all__ = ["kept_kernel"]
pytestmark = pytest.mark.shows(MEMORY)

MESSAGES: list[Any] = [
    Message("user", ["hello"], additional_properties={"n": [1, None]}),
    Message("user", ["what is", Content.from_data(b"\x00\xff", media_type="image/png"), "this?"]),
    Message("assistant", ["a square"], author_name="bob", message_id="m1"),
    Message("assistant", [Content.from_function_call("c1", "weigh", arguments={"what": "apple"})]),
    Message("tool", [Content.from_function_result("c1", result="450 g")]),
    Message("tool", [Content.from_function_result(f"c{n}", result=f"{n} cm") for n in (1, 2)]),
    Message("assistant", [Content.from_text_reasoning(text="hm"), Content.from_text("so it is")]),
]
TEXTS = ["hello", "what is\n\nthis?", "a square", "", "450 g", "1 cm\n\n2 cm", "so it is"]


def _session() -> AgentSession:
    session = AgentSession(session_id="s")
    session.state["in_memory"] = {"messages": [*MESSAGES]}
    return session


async def test_messages_of_every_kind(endpoint, kept_kernel):
    """Each message is a note of the agent that runs; the session has the very objects that it had; what it drops is gone."""
    session = _session()
    await agent(endpoint.base_url, tools=()).run("go on", session=session)
    kept = session.state["in_memory"]["messages"]
    assert all(one is given for one, given in zip(kept, MESSAGES, strict=False))
    said = [message.text for message in kept[-2:]]
    assert [note["text"] for note in notes(kept_kernel, "bob", list="in_memory")] == [*TEXTS, *said]
    assert ask(kept_kernel, "retrieve", "bob", query="450")["notes"][0]["text"] == "450 g"
    assert notes(kept_kernel) == []
    session.state["in_memory"]["messages"] = []
    await agent(endpoint.base_url, tools=()).run("again", session=session)
    assert next(note["text"] for note in notes(kept_kernel, "bob")) == "again"


async def test_messages_are_read_back(endpoint, kept_kernel):
    """Every message whose words were changed there is changed here, and in nothing but its words."""
    session = _session()
    one = agent(endpoint.base_url, tools=())
    await one.run("go on", session=session)
    for note in notes(kept_kernel, "bob")[: len(TEXTS)]:
        if note["text"] and "\n" not in note["text"]:
            ask(kept_kernel, "update", "bob", id=note["id"], text=f"{note['text']}!")
    await one.run("and on", session=session)
    for kept, given, text in zip(session.state["in_memory"]["messages"], MESSAGES, TEXTS, strict=False):
        changed = bool(text) and "\n" not in text
        assert (kept is given) is not changed
        wanted = json.dumps(given.to_dict())
        assert json.loads(json.dumps(kept.to_dict())) == json.loads(
            wanted.replace(f'"{text}"', f'"{text}!"') if changed else wanted
        )


@pytest.mark.parametrize("message", MESSAGES, ids=range(len(MESSAGES)))
async def test_a_message_comes_back_as_it_was(kept_kernel, message):
    """What a note is made into again is what it was made of."""
    from aios_adapters.agent_framework import _kept

    how: Any = _kept._keeper(InMemoryHistoryProvider())
    again = how.decode(*json.loads(json.dumps(how.encode(message))))
    assert type(again) is Message
    assert again.to_dict() == message.to_dict()
    assert [content.result for content in again.contents] == [content.result for content in message.contents]


async def test_a_note_that_says_it_is_something_else(endpoint, kept_kernel, caplog):
    """A note makes nothing but messages, whatever it says."""
    session = _session()
    one = agent(endpoint.base_url, tools=())
    await one.run("go on", session=session)
    note = notes(kept_kernel, "bob")[0]
    data = {**json.loads(note["metadata"]["data"]), "type": "open_ai_chat_client"}
    with caplog.at_level(logging.WARNING):
        metadata = {**note["metadata"], "data": json.dumps(data)}
        ask(kept_kernel, "update", "bob", id=note["id"], text="x", metadata=metadata)
        await one.run("and on", session=session)
    assert session.state["in_memory"]["messages"][0] is MESSAGES[0]
    assert "cannot be read back" in caplog.text


@pytest.mark.shows(LEASE, STREAM, ASYNCHRONOUS)
@pytest.mark.parametrize("name", ASYNC)
async def test_programs(name, endpoint, kept_kernel):
    """They say and ask what they did without the kernel's memory."""
    program = ASYNC[name][0]
    with aios_adapters.paused():
        await program(endpoint.base_url)  # the framework names the features used so far in its requests
        endpoint.reset()
        native = seen(await program(endpoint.base_url))
    sent = requests(endpoint)
    endpoint.reset()
    assert seen(await program(endpoint.base_url)) == native
    assert requests(endpoint) == sent


shown = comparer((r"af-call-[0-9a-f]+|call_[0-9a-f]+", "ID"))


@pytest.mark.shows(IDENTITY)
async def test_a_session_of_two_agents(endpoint, kept_kernel):
    """It ends in the same state, also when it is kept and gone on with; notes say who said what, and are the first one's."""

    async def talk():
        session = AgentSession(session_id="s")
        await agent(endpoint.base_url, "alice", tools=(weigh, measure)).run("weigh and measure", session=session)
        session = AgentSession.from_dict(json.loads(json.dumps(session.to_dict())))
        await agent(endpoint.base_url, "bob").run("hello", session=session)
        stream = agent(endpoint.base_url, "alice").run("weigh", session=session, stream=True)
        await stream.get_final_response()
        return shown(session.to_dict())

    with aios_adapters.paused():
        await talk()
        endpoint.reset()
        native = await talk()
    sent = [shown(request.body) for request in endpoint.requests]
    endpoint.reset()
    assert await talk() == native
    assert [shown(request.body) for request in endpoint.requests] == sent
    assert "weigh and measure" in [note["text"] for note in notes(kept_kernel, "alice")]
    assert {note["agent"] for note in notes(kept_kernel, "bob")} == {"alice", "bob"}


async def test_what_an_agent_is_told_through_the_memory(endpoint, kept_kernel):
    """A change in an agent's notes is in the next request to its model."""
    session = AgentSession()
    one = agent(endpoint.base_url)
    await one.run("I am Ada", session=session)
    note = next(note for note in notes(kept_kernel, "bob") if note["text"] == "I am Ada")
    ask(kept_kernel, "update", "bob", id=note["id"], text="I am Grace")
    await one.run("hello", session=session)
    said = json.dumps(endpoint.requests[-1].body["messages"])
    assert "I am Grace" in said
    assert "I am Ada" not in said
