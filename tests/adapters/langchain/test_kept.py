"""With `memory=True` what the stores in memory keep is in the kernel's memory too, and programs give what they gave."""

from __future__ import annotations

import base64
import json
import subprocess
import sys
from pathlib import Path

import pytest
from langchain_core.chat_history import InMemoryChatMessageHistory
from langchain_core.messages import AIMessage, HumanMessage, ToolMessage
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.store.memory import InMemoryStore

from aios_kernel import Kernel
from aios_kernel.memory import MemoryManager
from tests.adapters.langchain.programs import script
from tests.adapters.langchain.remembering import PROGRAMS
from tests.adapters.langchain.test_memory import _two_turns, _two_turns_async
from tests.support.columns import MEMORY, ONCE
from tests.support.halfway import killed_at
from tests.support.kept import ask, kept_kernel, notes

__all__ = ["kept_kernel"]
pytestmark = [pytest.mark.shows(MEMORY), pytest.mark.filterwarnings("ignore::DeprecationWarning")]


MESSAGES = [
    HumanMessage("hello \udcff", id="1"),
    AIMessage(
        [{"type": "text", "text": "in parts"}],
        tool_calls=[{"name": "t", "args": {"x": 1}, "id": "c", "type": "tool_call"}],
    ),
    ToolMessage("done", tool_call_id="c", artifact={"any": 1}),
    AIMessage("bye", additional_kwargs={"k": [1, None]}, response_metadata={"model": "m"}),
]


def _history():
    history = InMemoryChatMessageHistory()
    history.add_messages(MESSAGES[:3])
    history.add_message(MESSAGES[3])
    return history


def test_a_chat_history(kept_kernel):
    """Each message is a note of the one who uses the history; what is cleared is gone."""
    history = _history()
    assert history.messages == MESSAGES
    assert all(kept is given for kept, given in zip(history.messages, MESSAGES, strict=True))
    assert [note["text"] for note in notes(kept_kernel)] == ["hello ?", "", "done", "bye"]
    assert ask(kept_kernel, "retrieve", query="done")["notes"][0]["text"] == "done"
    history.clear()
    assert history.messages == notes(kept_kernel) == []


async def test_what_is_changed_in_the_memory_is_read_back(kept_kernel):
    """A message that is edited or removed there is so in the program; the others are the objects that they were."""
    history = _history()
    kept = notes(kept_kernel)
    ask(kept_kernel, "update", id=kept[3]["id"], text="farewell")
    ask(kept_kernel, "remove", id=kept[2]["id"])
    found = await history.aget_messages()
    assert found == [*MESSAGES[:2], MESSAGES[3].model_copy(update={"content": "farewell"})]
    assert found[0] is MESSAGES[0]
    await history.aadd_messages([HumanMessage("more")])
    assert [note["text"] for note in notes(kept_kernel)][-2:] == ["farewell", "more"]


def test_a_conversation_by_checkpoints(endpoint, enabled, kept_kernel):
    """It goes as it did, and its checkpoints are there, byte by byte."""
    import aios_adapters

    with aios_adapters.paused():
        native = _two_turns(endpoint.base_url)
    saver = InMemorySaver()
    assert _two_turns(endpoint.base_url, saver) == native
    data = [
        json.loads(note["metadata"]["data"])
        for note in notes(kept_kernel, "bob")
        if note["metadata"]["list"].startswith("checkpoint:")
    ]
    kept = [checkpoint for spaces in saver.storage["t1"].values() for checkpoint in spaces.values()]
    assert [base64.b64decode(one[0][1]["base64"]) for one in data] == [one[0][1] for one in kept]
    kinds = {note["metadata"]["list"].partition(":")[0] for note in notes(kept_kernel, "bob")}
    assert kinds == {"checkpoint", "writes", "channel"}
    saver.delete_thread("t1")
    assert notes(kept_kernel, "bob") == []


async def test_a_conversation_by_checkpoints_async(endpoint, kept_kernel):
    """The same in an event loop."""
    import aios_adapters

    with aios_adapters.paused():
        native = await _two_turns_async(endpoint.base_url)
    assert await _two_turns_async(endpoint.base_url) == native
    assert notes(kept_kernel, "bob")


def test_a_store(kept_kernel):
    """Items are notes with their values as text; one that is changed there is changed here."""
    store = InMemoryStore()
    store.put(("users", "ann"), "likes", {"tea": "green", "n": [1, 2]})
    store.put(("users", "bob"), "likes", {"tea": "black"})
    store.put(("users", "bob"), "has", {"cats": 2})
    ann, bob, _ = notes(kept_kernel)
    assert json.loads(ann["text"]) == {"tea": "green", "n": [1, 2]}
    ask(kept_kernel, "update", id=bob["id"], text=json.dumps({"tea": "white"}))
    found = store.get(("users", "bob"), "likes")
    assert found is not None
    assert found.value == {"tea": "white"}
    assert found.key == "likes"
    assert len(store.search(("users",))) == 3
    store.delete(("users", "ann"), "likes")
    assert len(notes(kept_kernel)) == 2


def test_without_it_nothing_is_kept(enabled):
    """Not asked for, not done."""
    kernel = Kernel(managers=[MemoryManager("memory")])
    enabled(kernel=kernel)
    assert _history().messages == MESSAGES
    assert notes(kernel) == []
    kernel.close()


@pytest.mark.shows(ONCE)
@pytest.mark.parametrize("number", [1, 2, 4, 5])
@pytest.mark.parametrize("data", [False, True])
def test_killed_halfway_with_a_journal(number, data, endpoint, tmp_path):
    """The second run finishes with the result of a whole one, and repeats no call but that during which it was killed."""
    program, llm, tools = PROGRAMS["conversation"]
    settings = {"memory": True, **({"data": str(tmp_path / "data")} if data else {})}
    result, requests, recorded = killed_at(
        number, "tests.adapters.langchain.remembering", "conversation", script, tmp_path, **settings
    )
    assert result == program(endpoint.base_url)
    assert requests == llm + 1
    assert recorded == {"llm": llm, "tool": tools}


def test_the_page():
    """The example of docs/memory.md prints what the page says."""
    page = (Path(__file__).parents[3] / "docs" / "memory.md").read_text(encoding="utf-8")
    section = page[page.index("## What frameworks keep") :]
    code, rest = section.split("```py\n", 1)[1].split("```", 1)
    ran = subprocess.run([sys.executable, "-W", "ignore", "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == rest.split("prints `", 1)[1].split("`", 1)[0]
