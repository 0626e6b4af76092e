"""With `memory=True` what roles remember is in the kernel's memory too, message by message, and programs give what they gave."""

from __future__ import annotations

import asyncio
import json
import logging
import sys
from contextlib import closing
from typing import Any

import pytest
from metagpt.actions import Action, UserRequirement
from metagpt.actions.action_node import ActionNode
from metagpt.memory import Memory
from metagpt.memory.brain_memory import BrainMemory
from metagpt.schema import Document, Documents, Message
from pydantic import BaseModel

import aios_adapters
from aios_kernel.kernel import Kernel
from aios_kernel.memory import MemoryManager
from tests.adapters.metagpt.programs import PROGRAMS, Coder, context, message, seen, team
from tests.support.columns import IDENTITY, MEMORY
from tests.support.kept import ask, edit, kept_kernel, notes, texts
from tests.support.runs import requests

__all__ = ["kept_kernel"]

pytestmark = pytest.mark.shows(MEMORY)


def _memory(*texts: str) -> Memory:
    memory = Memory()
    memory.add_batch([message(text) for text in texts])
    return memory


@pytest.mark.shows(IDENTITY)
async def test_a_team(endpoint, kept_kernel):
    """It ends as it did, by the same requests, and each role's notes are what the role remembers."""
    with aios_adapters.paused():
        native, sent = await team(endpoint.base_url), requests(endpoint)
    endpoint.reset()
    found = await team(endpoint.base_url)
    assert seen(found) == seen(native)
    assert requests(endpoint) == sent
    for name, remembered in found[0].items():
        assert len(remembered) == 4
        assert texts(kept_kernel, name) == remembered


@pytest.mark.parametrize("name", PROGRAMS)
async def test_programs(name, endpoint, kept_kernel):
    """Models, actions, roles and teams give what they gave, by the same requests."""
    program, *_ = PROGRAMS[name]
    with aios_adapters.paused():
        native, sent = seen(await program(endpoint.base_url)), requests(endpoint)
    endpoint.reset()
    assert seen(await program(endpoint.base_url)) == native
    assert requests(endpoint) == sent


async def test_a_limited_memory(endpoint, enabled):
    """One call of memory at a time is enough for a team, whose memories are read inside the running loop."""
    limits = {"memory": {"in_flight": 1}, "*": {"in_flight": 1}}
    with closing(Kernel(managers=[MemoryManager("memory")], limits=limits)) as kernel:
        enabled(kernel=kernel, memory=True)
        assert await asyncio.wait_for(team(endpoint.base_url), 60)


async def test_what_is_forgotten(kept_kernel):
    """What is deleted or cleared in the program is gone from the memory."""
    memory = _memory("one", "two", "three")
    assert texts(kept_kernel) == ["one", "two", "three"]
    memory.delete(memory.storage[0])
    memory.delete_newest()
    assert texts(kept_kernel) == ["two"]
    memory.clear()
    assert notes(kept_kernel) == []


async def test_what_is_changed_is_read_back(kept_kernel):
    """In the storage and in the index by cause; other messages are the objects that they were."""
    memory = _memory("one", "two", "three")
    one, two, three = memory.storage
    _, second, third = notes(kept_kernel)
    edit(kept_kernel, second, "zwei")
    ask(kept_kernel, "remove", id=third["id"])
    found = memory.get()
    assert found == [one, two.model_copy(update={"content": "zwei"})]
    assert found[0] is one
    assert memory.get_by_action(UserRequirement) == found
    assert all(indexed is stored for indexed, stored in zip(memory.get_by_action(UserRequirement), found, strict=True))
    assert memory.try_remember("zwei") == found[1:]
    memory.add(three)
    assert texts(kept_kernel) == ["one", "zwei", "three"]


async def test_causes_and_addresses_are_read_back(kept_kernel):
    """A message that gets another cause is found by that."""
    memory = _memory("one")
    note = notes(kept_kernel)[0]
    data = json.loads(note["metadata"]["data"])
    data |= {"cause_by": "my.Cause", "send_to": ["Ann"], "role": "assistant", "id": "other"}
    ask(kept_kernel, "update", id=note["id"], text="one", metadata={**note["metadata"], "data": json.dumps(data)})
    (found,) = memory.get()
    assert (found.cause_by, found.send_to, found.role) == ("my.Cause", {"Ann"}, "assistant")
    assert memory.index == {"my.Cause": [found]}
    assert found.id != "other"


async def test_a_note_names_nothing_that_is_imported(kept_kernel, caplog):
    """Models that a message carries stay the program's own, whatever its note says; nonsense leaves the message as it was."""
    carried = Documents(docs={"a": Document(filename="a", content="text")})
    memory = Memory()
    memory.add(Message(content="one", instruct_content=carried))
    note = notes(kept_kernel)[0]
    data = json.loads(note["metadata"]["data"])
    assert data["instruct_content"]["docs"]["a"]["content"] == "text"
    data["instruct_content"] = {"class": "Anything", "module": "antigravity", "value": {}}
    ask(kept_kernel, "update", id=note["id"], text="two", metadata={**note["metadata"], "data": json.dumps(data)})
    (found,) = memory.get()
    assert found.content == "two"
    assert found.instruct_content is carried
    assert "antigravity" not in sys.modules
    data["role"] = ["no", "text"]
    ask(kept_kernel, "update", id=note["id"], text="three", metadata={**note["metadata"], "data": json.dumps(data)})
    with caplog.at_level(logging.WARNING):
        assert memory.get() == [found]
    assert "cannot be read back" in caplog.text


async def test_messages_of_every_kind(kept_kernel):
    """Ones of a program's own class, ones with an action's output, and ones that cannot be written down."""

    class Mine(Message):
        extra: int = 7

    class Odd(BaseModel):
        anything: Any = None

    output = ActionNode.create_model_class("Output", {"result": (str, ...)})
    memory = Memory()
    given = [
        Mine(content="mine"),
        Message(content="output", instruct_content=output(result="42")),
        Message(content="odd", instruct_content=Odd(anything=object())),
        message("half \udcff"),
    ]
    memory.add_batch(given)
    assert all(stored is one for stored, one in zip(memory.storage, given, strict=True))
    mine, written, half = notes(kept_kernel)
    assert half["text"] == "half ?"
    assert json.loads(written["metadata"]["data"])["instruct_content"] == {"result": "42"}
    edit(kept_kernel, mine, "yours")
    assert memory.get() == [given[0].model_copy(update={"content": "yours"}), *given[1:]]
    assert type(memory.storage[0]) is Mine


class Recall(Action):
    """Ask about everything that the role remembers."""

    name: str = "Recall"

    async def run(self, history):
        return await self._aask(" | ".join(one.content for one in history))


async def test_an_edit_reaches_the_model(endpoint, kept_kernel):
    """What somebody writes into a role's memory is what its next request says."""
    role = Coder(context=context(endpoint.base_url))
    role.set_actions([Recall])
    await role.run("look at this")
    note = next(note for note in notes(kept_kernel, "Alice") if note["text"] == "look at this")
    edit(kept_kernel, note, "look at that", "Alice")
    await role.run("again")
    before, after = (one.body["messages"][-1]["content"] for one in endpoint.requests)
    assert before == "look at this"
    assert after.startswith("look at that | ")
    assert after.endswith(" | again")


async def test_an_assistants_memory(kept_kernel):
    """Its talk and its knowledge are notes, read back; with a summary the talk is gone."""
    brain = BrainMemory()
    brain.knowledge.append(Message(content="fact"))
    brain.add_talk(Message(content="question", id="1"))
    brain.add_answer(Message(content="answer", id="2"))
    assert texts(kept_kernel) == ["question", "fact", "answer"]
    edit(kept_kernel, notes(kept_kernel)[0], "another")
    assert brain.exists("another")
    assert not brain.exists("question")
    brain.cacheable = False
    await brain.set_history_summary("all of it", "")
    assert texts(kept_kernel) == ["fact"]
