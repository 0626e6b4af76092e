"""Memory, files and tools by the SDK: the same in a thread, in an event loop, here and through a server."""

from __future__ import annotations

import inspect

import pytest

from aios_kernel import Agent, CoreError, current_agent, sdk
from aios_kernel.errors import AccessDenied, FileMissing, NoteMissing, ToolArguments, ToolUnknown, VersionConflict
from aios_kernel.sdk import aio
from tests.kernel.sdk.conftest import Rig


def test_memory(rig: Rig):
    """Notes are kept, found, changed and removed, each agent's apart."""
    ann, bob = sdk.Client(rig.gate, "ann"), sdk.Client(rig.gate, "bob")
    note = ann.create_memory("The key is under the mat.", {"topic": "house"})
    assert ann.get_memory(note["id"])["text"] == "The key is under the mat."
    assert ann.update_memory(note["id"], "The key is in the pot.", version=1)["version"] == 2
    with pytest.raises(VersionConflict):
        ann.update_memory(note["id"], "late", version=1)
    (found,) = ann.search_memories("where are the keys", k=3, where={"topic": "house"})
    assert (found["text"], found["agent"]) == ("The key is in the pot.", "ann")
    assert ann.search_memories("keys", where={"topic": "garden"}) == []
    assert bob.search_memories("keys") == []
    with pytest.raises(AccessDenied):
        bob.get_memory(note["id"], owner="ann")
    assert ann.delete_memory(note["id"]) is True
    assert ann.delete_memory(note["id"]) is False
    with pytest.raises(NoteMissing):
        ann.get_memory(note["id"])


def test_files(rig: Rig):
    """Files are made, written, found, gone back with and shared."""
    ann, bob = sdk.Client(rig.gate, "ann"), sdk.Client(rig.gate, "bob")
    assert ann.create_dir("notes")["created"]
    assert ann.create_file("notes/trip.txt", "The ferry leaves at nine.")["version"] == 1
    assert ann.write_file("notes/trip.txt", "The ferry leaves at ten.", expected_version=1)["version"] == 2
    with pytest.raises(VersionConflict):
        ann.write_file("notes/trip.txt", "late", expected_version=1)
    ann.mount("trips", "notes")
    (hit,) = ann.retrieve_file("when do ferries leave", keywords=["ten"], collection="trips")
    assert hit["content"] == "The ferry leaves at ten."
    with pytest.raises(FileMissing):
        bob.read_file("notes/trip.txt")
    with pytest.raises(AccessDenied):
        bob.read_file("notes/trip.txt", root="agent:ann")
    ann.share_file("notes", "agent:bob", seconds=3600)
    assert bob.read_file("notes/trip.txt", root="agent:ann")["content"] == "The ferry leaves at ten."
    assert ann.rollback_file("notes/trip.txt", 1)["restored"] == 1
    assert bob.read_file("notes/trip.txt", root="agent:ann")["content"] == "The ferry leaves at nine."
    ann.write_file("picture", b"\xff\x00")
    assert ann.read_file("picture")["encoding"] == "base64"


def test_tools(rig: Rig):
    """A tool is called by its full name; its errors are raised as they are."""
    assert sdk.call_tool(rig.gate, "ann", "aios/calculator", {"expression": "6 * 7"}) == "42"
    with pytest.raises(ToolArguments, match="expression"):
        sdk.call_tool(rig.gate, "ann", "aios/calculator", {"formula": "1"})
    with pytest.raises(ToolUnknown, match="aios/calculator"):
        sdk.call_tool(rig.gate, "ann", "calculator")
    sdk.call_tool(rig.gate, "ann", "aios/write_file", {"path": "a", "content": "mine"})
    assert sdk.read_file(rig.gate, "ann", "a")["content"] == "mine"


async def test_in_an_event_loop(rig: Rig):
    """Awaited, the same; agents of the context too."""
    ann = aio.Client(rig.gate, Agent(name="ann", framework="own"))
    note = await ann.create_memory("x")
    assert (note["agent"], note["framework"]) == ("ann", "own")
    assert await aio.get_memory(rig.gate, "ann", note["id"]) == note == sdk.get_memory(rig.gate, "ann", note["id"])
    await ann.write_file("a", "b")
    assert (await ann.read_file("a"))["content"] == "b"
    assert await ann.call_tool("aios/calculator", {"expression": "1+1"}) == "2"
    token = current_agent.set(Agent(name="ben"))
    assert (await aio.create_memory(rig.gate, None, "y"))["agent"] == "ben"
    assert sdk.Client(rig.gate).create_memory("z")["agent"] == "ben"
    current_agent.reset(token)


@pytest.mark.parametrize(
    ("call", "remedy"),
    [
        (lambda one: one.create_memory("x"), "MemoryManager"),
        (lambda one: one.write_file("a", "b"), "StorageManager"),
        (lambda one: one.call_tool("aios/calculator"), "ToolManager"),
        (lambda one: one.llm_call_tool("hi", ["aios/*"]), "ToolManager"),
        (lambda one: one.llm_chat("hi"), "llm="),
    ],
)
async def test_where_nothing_serves(rig: Rig, call, remedy: str):
    """A kernel without a manager says what to do, whoever asks."""
    bare = rig.kernel()
    with pytest.raises(CoreError, match=remedy):
        call(sdk.Client(bare, "ann"))
    with pytest.raises(CoreError, match=remedy):
        await call(aio.Client(bare, "ann"))


def test_every_function_is_there_four_times():
    """As function and method, for threads and for event loops, with the arguments it takes in fact."""
    names = set(sdk.__all__) - {"Answer", "Client", "Use"}
    assert set(sdk.__all__) == set(aio.__all__)
    for name in names:
        function, afunction = getattr(sdk, name), getattr(aio, name)
        method, amethod = getattr(sdk.Client, name), getattr(aio.Client, name)
        assert inspect.iscoroutinefunction(afunction)
        assert inspect.iscoroutinefunction(amethod)
        assert function.__name__ == afunction.__name__ == name
        assert function.__doc__ == amethod.__doc__
        assert function.__doc__
        assert list(inspect.signature(function).parameters)[:2] == ["gate", "agent"]
        assert list(inspect.signature(function).parameters)[2:] == list(inspect.signature(method).parameters)[1:]


def test_nothing_is_written_before_it_is_used(rig: Rig):
    """A folder that nobody needs is not made; each manager makes its own part of it."""
    assert sdk.call_tool(rig.gate, "ann", "aios/calculator", {"expression": "1"}) == "1"
    assert not rig.data.exists()
    sdk.create_memory(rig.gate, "ann", "x")
    assert {path.name.partition(".")[0] for path in rig.data.iterdir()} == {"memory"}
    assert rig.data.stat().st_mode & 0o77 == 0
    sdk.write_file(rig.gate, "ann", "a", "b")
    assert (rig.data / "files").is_dir()
