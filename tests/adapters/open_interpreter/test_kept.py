"""With `memory=True` an interpreter's messages are in the kernel's memory too, and conversations give what they gave."""

from __future__ import annotations

import json
import logging
import threading
from contextlib import closing

import pytest

import aios_adapters
from aios_kernel.kernel import Kernel
from aios_kernel.memory import MemoryManager
from tests.adapters.open_interpreter.programs import CODE, PROGRAMS, chat, make, requests, seen
from tests.support.columns import IDENTITY, LEASE, MEMORY, STREAM
from tests.support.kept import ask, edit, kept_kernel, notes, texts

__all__ = ["kept_kernel"]

pytestmark = pytest.mark.shows(MEMORY)
OWNER = "interpreter"


@pytest.fixture
def one(endpoint):
    made = make(endpoint.base_url)
    yield made
    made.computer.terminate()


def _contents(messages) -> list[str]:
    return [message["content"] for message in messages]


@pytest.mark.shows(LEASE, STREAM)
@pytest.mark.parametrize("name", PROGRAMS)
def test_conversations(name, endpoint, kept_kernel):
    """Messages and chunks are the same, by the same requests; each message is a note, as it was when it was whole."""
    program, _, _ = PROGRAMS[name]
    with aios_adapters.paused():
        native, sent = program(endpoint.base_url), requests(endpoint)
        whole = _contents(chat(endpoint.base_url, functions=name == "tools")[1])
    endpoint.reset()
    assert seen(program(endpoint.base_url)) == seen(native)
    assert requests(endpoint) == sent
    assert texts(kept_kernel, OWNER) == whole
    assert any(CODE in text for text in whole)


def test_a_limited_memory(endpoint, enabled):
    """One call of memory at a time is enough."""
    limits = {"memory": {"in_flight": 1}, "*": {"in_flight": 1}}
    with aios_adapters.paused():
        native = chat(endpoint.base_url)
    with closing(Kernel(managers=[MemoryManager("memory")], limits=limits)) as kernel:
        enabled(kernel=kernel, memory=True)
        assert chat(endpoint.base_url) == native


def test_what_is_forgotten(one, kept_kernel):
    """A reset removes the notes; a list that the program puts in the place of its messages is kept in theirs."""
    one.chat("just talk", display=False)
    assert "just talk" in texts(kept_kernel, OWNER)
    one.reset()
    assert notes(kept_kernel, OWNER) == []
    one.chat("just talk", display=False)
    one.messages = [{"role": "user", "type": "message", "content": "other"}]
    one.chat("just talk again", display=False)
    assert texts(kept_kernel, OWNER) == _contents(one.messages)
    assert texts(kept_kernel, OWNER)[0] == "other"


def test_what_is_changed_is_read_back(one, endpoint, kept_kernel):
    """The model is told what is in the memory now; the list stays the program's own, and what is new stays what is new."""
    mine = one.messages
    one.chat("just talk", display=False)
    first, second = notes(kept_kernel, OWNER)
    edit(kept_kernel, first, "just talk about that", OWNER)
    ask(kept_kernel, "remove", OWNER, id=second["id"])
    new = one.chat("just talk more", display=False)
    said = endpoint.requests[-1].body["messages"][-1]["content"]  # two of one role are put together
    assert said.split() == ["just", "talk", "about", "that", "just", "talk", "more"]
    assert one.messages is mine
    assert new == one.messages[2:]
    assert len(new) == 1
    assert texts(kept_kernel, OWNER) == _contents(one.messages)


@pytest.mark.shows(STREAM)
def test_what_is_changed_while_code_runs(one, endpoint, kept_kernel):
    """It is what the next request of the same conversation says."""
    changed = False
    for chunk in one.chat("what is it", display=False, stream=True):
        if chunk["type"] == "console" and not changed:
            changed = True
            edit(kept_kernel, notes(kept_kernel, OWNER)[0], "what is that", OWNER)
    before, after = ([m["content"] for m in one.body["messages"]] for one in endpoint.requests)
    assert "what is it" in before
    assert "what is that" in after
    assert "what is it" not in after
    assert one.messages[0] == {"role": "user", "type": "message", "content": "what is that"}


def test_a_note_makes_nothing_code(one, kept_kernel, caplog):
    """Only the content is read back, and only content of the same kind."""
    one.chat("just talk", display=False)
    note = notes(kept_kernel, OWNER)[0]

    def write(text, **fields):
        data = json.dumps({**json.loads(note["metadata"]["data"]), **fields})
        ask(kept_kernel, "update", OWNER, id=note["id"], text=text, metadata={**note["metadata"], "data": data})
        one.chat("just talk", display=False)

    write("rm", role="assistant", type="code", format="shell")
    assert one.messages[0] == {"role": "user", "type": "message", "content": "rm"}
    with caplog.at_level(logging.WARNING):
        write("rm", content=[{"any": "thing"}])
    assert one.messages[0]["content"] == "rm"
    assert "cannot be read back" in caplog.text


def test_messages_of_every_kind(one, kept_kernel, caplog):
    """Images are no text to search in; what cannot be written down stays the program's."""
    image = {"role": "user", "type": "image", "format": "base64.png", "content": "aGk="}
    odd = {"role": "user", "type": "message", "content": "odd", "mine": object()}
    one.messages = [image, odd]
    with caplog.at_level(logging.WARNING):
        one.chat("just talk", display=False)
    assert one.messages[0] is image
    assert one.messages[1] is odd
    assert "cannot be kept" in caplog.text
    assert texts(kept_kernel, OWNER) == ["", "just talk", one.messages[-1]["content"]]


@pytest.mark.shows(IDENTITY)
def test_two_interpreters(endpoint, kept_kernel):
    """Each has a shelf of its own, also at the same time in threads."""
    made = [make(endpoint.base_url) for _ in range(2)]
    threads = [
        threading.Thread(target=one.chat, args=(f"just talk {number}",), kwargs={"display": False})
        for number, one in enumerate(made)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    shelves = {}
    for note in notes(kept_kernel, OWNER):
        shelves.setdefault(note["metadata"]["shelf"], []).append(note["text"])
    assert sorted(shelves.values()) == sorted(_contents(one.messages) for one in made)
    made[0].reset()
    assert texts(kept_kernel, OWNER) == _contents(made[1].messages)
