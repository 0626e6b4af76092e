"""With `memory=True` what sessions in memory keep is in the kernel's memory too, and programs give what they gave."""

from __future__ import annotations

import json
import logging
from typing import Any

import pytest
from agents import Runner, SQLiteSession

import aios_adapters
from tests.adapters.openai_agents.programs import ASYNC, agent, measure, seen, weigh
from tests.support.columns import ASYNC as ASYNCHRONOUS
from tests.support.columns import IDENTITY, LEASE, MEMORY, STREAM
from tests.support.kept import ask, kept_kernel, notes
from tests.support.runs import comparer, requests

__all__ = ["kept_kernel"]
pytestmark = pytest.mark.shows(MEMORY)

ITEMS: list[Any] = [
    {"role": "user", "content": "hello \udcff"},
    {"role": "user", "content": [{"type": "input_text", "text": "what is"}, {"type": "input_image", "image_url": "x"}]},
    {
        "type": "message",
        "role": "assistant",
        "content": [{"type": "output_text", "text": "a square", "annotations": []}],
    },
    {"type": "function_call", "call_id": "c1", "name": "weigh", "arguments": '{"what": "apple"}'},
    {"type": "function_call_output", "call_id": "c1", "output": "450 g"},
    {
        "type": "function_call_output",
        "call_id": "c2",
        "output": [{"type": "input_text", "text": t} for t in ("1", "2")],
    },
    {"type": "reasoning", "id": "r", "summary": []},
]
TEXTS = ["hello ?", "what is", "a square", "", "450 g", "1\n\n2", ""]


@pytest.fixture
def session():
    made = SQLiteSession("s")
    yield made
    made.close()


async def test_items_of_every_kind(kept_kernel, session):
    """Each item is a note with its words; what is taken back or cleared is gone."""
    await session.add_items(ITEMS)
    assert await session.get_items() == ITEMS
    first = notes(kept_kernel, list="items")
    assert [note["text"] for note in first] == TEXTS
    assert ask(kept_kernel, "retrieve", query="square")["notes"][0]["text"] == "a square"
    assert await session.pop_item() == ITEMS[-1]
    await session.add_items([{"role": "user", "content": "more"}])
    assert [note["text"] for note in notes(kept_kernel)] == [*TEXTS[:-1], "more"]
    assert [note["id"] for note in notes(kept_kernel)][:6] == [note["id"] for note in first][:6]
    await session.clear_session()
    assert await session.get_items() == notes(kept_kernel) == []


async def test_items_are_read_back(kept_kernel, session):
    """Every item whose words were changed there is changed here, and in nothing but its words; one that is removed is not here."""
    await session.add_items(ITEMS)
    found = notes(kept_kernel)
    for note in found:
        if note["text"] and "\n" not in note["text"]:
            ask(kept_kernel, "update", id=note["id"], text=f"{note['text']}!")
    ask(kept_kernel, "remove", id=found[6]["id"])
    wanted = json.loads(json.dumps(ITEMS[:6]))
    wanted[0]["content"] = "hello ?!"
    wanted[1]["content"][0]["text"] += "!"
    wanted[2]["content"][0]["text"] += "!"
    wanted[4]["output"] += "!"
    assert await session.get_items() == wanted
    assert await session.get_items(limit=2) == wanted[4:]
    assert await session.pop_item() == wanted[5]
    assert len(notes(kept_kernel)) == 5
    aios_adapters.disable()
    assert await session.get_items() == wanted[:5]  # it is the session that has them


async def test_a_session_that_is_closed(kept_kernel, caplog):
    """It refuses as it does without the kernel."""
    session = SQLiteSession("s")
    await session.add_items(ITEMS[:1])
    session.close()
    with pytest.raises(RuntimeError, match="SQLiteSession is closed"), caplog.at_level(logging.WARNING):
        await session.add_items(ITEMS)
    assert [note["text"] for note in notes(kept_kernel)] == TEXTS[:1]


async def test_a_row_that_is_no_json(kept_kernel, session):
    """It is passed over, as the session does it, and is still there."""
    await session.add_items(ITEMS[:1])
    session._shared_connection.execute("INSERT INTO agent_messages (session_id, message_data) VALUES ('s', 'odd')")
    await session.add_items(ITEMS[2:3])
    ask(kept_kernel, "update", id=notes(kept_kernel)[1]["id"], text="a circle")
    kept = await session.get_items()
    assert [kept[0], kept[1]["content"][0]["text"]] == [ITEMS[0], "a circle"]
    assert session._shared_connection.execute("SELECT count(*) FROM agent_messages").fetchone() == (3,)


async def test_sessions_with_a_place_of_their_own(kept_kernel, tmp_path):
    """What is in a file is the file's."""
    session = SQLiteSession("s", tmp_path / "sessions.db")
    await session.add_items(ITEMS)
    assert await session.get_items() == ITEMS
    assert notes(kept_kernel) == []
    session.close()


@pytest.mark.shows(LEASE, STREAM, ASYNCHRONOUS)
@pytest.mark.parametrize("name", ASYNC)
async def test_programs(name, endpoint, kept_kernel):
    """They say and ask what they did without the kernel's memory."""
    program = ASYNC[name][0]
    with aios_adapters.paused():
        native = seen(await program(endpoint.base_url))
    sent = requests(endpoint)
    endpoint.reset()
    assert seen(await program(endpoint.base_url)) == native
    assert requests(endpoint) == sent


shown = comparer()


@pytest.mark.shows(IDENTITY)
async def test_a_session_of_two_agents(endpoint, kept_kernel):
    """It ends in the same state; what an agent is told through the memory is in the next request to its model."""

    async def talk(session, between=lambda: None):
        await Runner.run(
            agent(endpoint.base_url, "alice", tools=(weigh, measure)), "weigh and measure", session=session
        )
        between()
        result = Runner.run_streamed(agent(endpoint.base_url, "bob"), "hello", session=session)
        async for _ in result.stream_events():
            pass
        items = await session.get_items()
        session.close()
        return shown(items)

    with aios_adapters.paused():
        native = await talk(SQLiteSession("s"))
    sent = requests(endpoint)
    endpoint.reset()
    assert await talk(SQLiteSession("s")) == native
    assert requests(endpoint) == sent
    assert notes(kept_kernel) == notes(kept_kernel, "bob") == []
    texts = [note["text"] for note in notes(kept_kernel, "alice")]
    assert "weigh and measure" in texts
    assert "apple 0 weighs 450 g" in texts

    def change():
        note = next(note for note in reversed(notes(kept_kernel, "alice")) if note["text"] == "weigh and measure")
        ask(kept_kernel, "update", "alice", id=note["id"], text="weigh nothing")

    endpoint.reset()
    await talk(SQLiteSession("s"), change)
    said = json.dumps(endpoint.requests[-1].body["messages"])
    assert "weigh nothing" in said
    assert "weigh and measure" not in said
