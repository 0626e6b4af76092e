"""With `memory=True` histories and knowledge in memory are in the kernel's memory too, and programs give what they gave."""

from __future__ import annotations

import json
import logging
from typing import Any

import pytest
from ag2.events import (
    BaseEvent,
    BinaryInput,
    BinaryResult,
    BinaryType,
    DataInput,
    HumanInputRequest,
    HumanMessage,
    ModelMessage,
    ModelRequest,
    ModelResponse,
    TextInput,
    ToolCallEvent,
    ToolCallsEvent,
    ToolErrorEvent,
    ToolResult,
    ToolResultEvent,
    ToolResultsEvent,
    Usage,
)
from ag2.history import MemoryStorage
from ag2.knowledge import MemoryKnowledgeStore
from ag2.stream import MemoryStream

import aios_adapters
from tests.adapters.ag2.programs import PROGRAMS, agent, config
from tests.support.columns import ASYNC, IDENTITY, LEASE, MEMORY, STREAM
from tests.support.kept import ask, kept_kernel, notes
from tests.support.runs import requests

__all__ = ["kept_kernel"]
pytestmark = pytest.mark.shows(MEMORY)


class Own(BaseEvent):
    """An event of the program's own."""

    x: int = 1


CALL = ToolCallEvent("weigh", id="c1", arguments='{"what": "apple"}', vendor_metadata={"k": [1]})
RESULT = ToolResultEvent(parent_id="c1", name="weigh", result=ToolResult("450 g"))
EVENTS: list[Any] = [
    ModelRequest([TextInput("hello")]),
    ModelRequest(
        [
            TextInput("what is"),
            BinaryInput(b"\x00\xff", media_type="image/png", kind=BinaryType.IMAGE),
            TextInput("this?"),
        ]
    ),
    ModelRequest([DataInput({"n": [1, None]})]),
    ModelResponse(ModelMessage("a square"), usage=Usage(prompt_tokens=3), files=[BinaryResult(b"\x00")], model="sim"),
    ModelResponse(None, tool_calls=ToolCallsEvent([CALL])),
    ToolCallsEvent([CALL]),
    RESULT,
    ToolResultsEvent([RESULT]),
    HumanInputRequest("may I?"),
    HumanMessage("you may"),
]
TEXTS = ["hello", "what is\n\nthis?", "", "a square", "", "", "450 g", "450 g", "may I?", "you may"]


async def _filled() -> tuple[MemoryStorage, str]:
    storage = MemoryStorage()
    await storage.set_history("s1", EVENTS)
    return storage, "s1"


async def test_events_of_every_kind(kept_kernel):
    """Each event is a note with its words; the history has the very objects that it was given, until it is dropped."""
    storage, stream = await _filled()
    found = list(await storage.get_history(stream))
    assert all(kept is given for kept, given in zip(found, EVENTS, strict=True))
    assert [note["text"] for note in notes(kept_kernel, list=stream)] == TEXTS
    assert ask(kept_kernel, "retrieve", query="square")["notes"][0]["text"] == "a square"
    await storage.drop_history(stream)
    assert notes(kept_kernel) == []


async def test_events_are_read_back(kept_kernel):
    """Every event whose words were changed there is changed here, and in nothing but its words."""
    storage, stream = await _filled()
    for note in notes(kept_kernel):
        if note["text"] and "\n" not in note["text"]:
            ask(kept_kernel, "update", id=note["id"], text=f"{note['text']}!")
    found = list(await storage.get_history(stream))
    for kept, given, text in zip(found, EVENTS, TEXTS, strict=True):
        changed = bool(text) and "\n" not in text
        assert (kept is given) is not changed
        assert type(kept) is type(given)
        wanted = json.dumps(given.to_dict(), sort_keys=True)
        assert json.dumps(kept.to_dict(), sort_keys=True) == (
            wanted.replace(f'"{text}"', f'"{text}!"') if changed else wanted
        )
    assert found[6].result.parts[0].content == "450 g!"
    assert found[3].usage == Usage(prompt_tokens=3)


@pytest.mark.parametrize("event", EVENTS, ids=lambda event: type(event).__name__)
async def test_an_event_comes_back_as_it_was(kept_kernel, event):
    """What a note is made into again equals what it was made of."""
    from aios_adapters.ag2._kept import keeper

    how: Any = keeper(MemoryStorage())
    again = how.decode(*json.loads(json.dumps(how.encode(event))))
    assert again == event
    assert again.created_at == event.created_at
    assert repr(again) == repr(event)


@pytest.mark.parametrize("name", ["subprocess.Popen", "tests.adapters.ag2.test_kept.Own", "ag2.agent.Agent"])
@pytest.mark.parametrize("mark", ["__event__", "__dataclass__", "__pydantic__", "__enum__"])
async def test_a_note_that_names_a_class(kept_kernel, caplog, name, mark):
    """A note makes nothing but AG2's own events, whatever it says, and however deep inside."""
    storage, stream = await _filled()
    note = notes(kept_kernel)[0]
    data = json.loads(note["metadata"]["data"])
    data["parts"][0]["metadata"] = {"deep": [{mark: name, "data": {"args": "true"}, "value": 1}]}
    with caplog.at_level(logging.WARNING):
        ask(kept_kernel, "update", id=note["id"], metadata={**note["metadata"], "data": json.dumps(data)})
        assert list(await storage.get_history(stream)) == EVENTS
    assert f"{name!r} is not one of AG2's own events" in caplog.text


async def test_events_that_are_not_read_back(kept_kernel, caplog):
    """A program's own event is a note that is not read back; one with objects in it is none."""
    storage = MemoryStorage()
    odd = ModelRequest([TextInput("odd", metadata={"it": object()})])
    failed = ToolErrorEvent(parent_id="c1", name="weigh", error=ValueError("no"), result=ToolResult("no"))
    with caplog.at_level(logging.WARNING):
        await storage.set_history("s1", [Own(x=2), odd, failed])
    assert "cannot be kept in the kernel's memory" in caplog.text
    assert [note["text"] for note in notes(kept_kernel)] == ["", "no"]
    ask(kept_kernel, "update", id=notes(kept_kernel)[0]["id"], text="changed")
    assert list(await storage.get_history("s1")) == [Own(x=2), odd, failed]


async def test_knowledge(kept_kernel):
    """The text at a path is a note: what is changed there is read here, and what is deleted is gone."""
    store = MemoryKnowledgeStore()
    await store.write("/notes/a", "hello")
    await store.append("/notes/a", " world")
    await store.write("/notes/b", "bye")
    found = notes(kept_kernel)
    assert {note["metadata"]["list"]: note["text"] for note in found} == {"/notes/a": "hello world", "/notes/b": "bye"}
    ask(kept_kernel, "update", id=next(n["id"] for n in found if n["text"] == "bye"), text="good night")
    assert await store.read("/notes/b") == "good night"
    ask(kept_kernel, "remove", id=next(n["id"] for n in found if n["text"] == "hello world"))
    assert await store.list("/notes") == ["b"]
    await store.delete("/notes")
    assert notes(kept_kernel) == []


@pytest.mark.shows(LEASE, ASYNC, STREAM)
@pytest.mark.parametrize("name", PROGRAMS)
async def test_programs(endpoint, kept_kernel, name):
    """They say and ask what they did without the kernel's memory."""
    program = PROGRAMS[name][0]
    with aios_adapters.paused():
        native = await program(endpoint.base_url)
    sent = requests(endpoint)
    endpoint.reset()
    assert await program(endpoint.base_url) == native
    assert requests(endpoint) == sent


@pytest.mark.shows(IDENTITY)
async def test_a_conversation(endpoint, kept_kernel):
    """What an agent has said is its own notes; what is changed there is in the next request to its model."""
    stream = MemoryStream()
    await agent(config(endpoint.base_url)).ask("I am Ada", stream=stream)
    found = notes(kept_kernel, "alice", list=str(stream.id))
    assert len(found) == len(list(await stream.history.get_events()))
    ask(kept_kernel, "update", "alice", id=next(n["id"] for n in found if n["text"] == "I am Ada"), text="I am Grace")
    await agent(config(endpoint.base_url)).ask("hello", stream=stream)
    said = json.dumps(endpoint.requests[-1].body["messages"])
    assert "I am Grace" in said
    assert "I am Ada" not in said
    assert notes(kept_kernel) == []
