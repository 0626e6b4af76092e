"""Memory behind the daemon: agents of several programs and frameworks, one memory manager."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import aios_adapters
from aios_adapters.calls import Store
from aios_adapters.shelves import Keeper
from aios_kernel.abi import Agent, MemoryCall
from aios_kernel.errors import AccessDenied, ConfigError, NoteMissing, StoreError, VersionConflict
from aios_kernel.memory import MemoryManager
from tests.remote.conftest import Rig


def _do(kernel: Any, agent: Agent, verb: Any, /, **arguments: Any) -> Any:
    with kernel.syscall(MemoryCall(agent=agent, verb=verb, arguments=arguments)) as grant:
        return grant.reply().data


ANN, BOB = Agent(name="ann", framework="autogen"), Agent(name="bob", framework="langchain")


def test_the_same_as_here(rig: Rig, tmp_path: Path):
    """Every verb and every error of the manager arrives as if the kernel were in this process."""
    remote = rig.serve(managers=[MemoryManager(tmp_path / "m.db")])
    note = _do(remote, ANN, "add", id="a", text="the sky is blue", metadata={"deep": [1, None, {"x": "é"}]})["note"]
    assert (note["version"], note["framework"]) == (1, "autogen")
    assert _do(remote, ANN, "get", id="a")["note"] == note == _do(rig.kernel, ANN, "get", id="a")["note"]
    assert _do(remote, ANN, "update", id="a", text="grey sky", version=1)["note"]["version"] == 2
    assert [one["id"] for one in _do(remote, ANN, "retrieve", query="skies")["notes"]] == ["a"]
    assert len(_do(remote, ANN, "list")["notes"]) == 1
    for error, agent, verb, arguments in (
        (VersionConflict, ANN, "update", {"id": "a", "text": "late", "version": 1}),
        (NoteMissing, ANN, "get", {"id": "b"}),
        (AccessDenied, BOB, "get", {"id": "a", "agent": "ann"}),
        (StoreError, ANN, "add", {}),
    ):
        with pytest.raises(error) as raised:
            _do(remote, agent, verb, **arguments)
        assert type(raised.value) is error
    assert _do(remote, ANN, "remove", id="a") == {"removed": True}


async def test_in_an_event_loop(rig: Rig, tmp_path: Path):
    """Awaited, the same."""
    remote = rig.serve(managers=[MemoryManager(tmp_path / "m.db")])
    async with remote.syscall(MemoryCall(agent=ANN, verb="add", arguments={"text": "x"})) as grant:
        assert (await grant.areply()).data["note"]["text"] == "x"


def test_programs_share_a_memory(rig: Rig, tmp_path: Path):
    """What an agent of one process wrote, an agent of another framework in another process finds, where it is allowed."""
    allowed = {("bob", "memory.retrieve", "memory:group:team"), ("ann", "memory.add", "memory:group:team")}
    manager = MemoryManager(tmp_path / "m.db", allowed=lambda process, *what: (process.name, *what) in allowed)
    remote = rig.serve(managers=[manager])
    code = """
agent = Agent(name="ann", framework="autogen")
with kernel.syscall(MemoryCall(agent=agent, verb="add", arguments={"text": "meet at noon", "agent": "group:team"})) as grant:
    print(grant.reply().data["note"]["version"], flush=True)
"""
    said, _ = rig.program(code).communicate(timeout=60)
    assert said == "1\n"
    (found,) = _do(remote, BOB, "retrieve", query="noon", agents=["group:team"])["notes"]
    assert (found["text"], found["agent"], found["framework"]) == ("meet at noon", "ann", "autogen")
    with pytest.raises(AccessDenied):
        _do(remote, BOB, "add", text="x", agent="group:team")


class Words:
    """A framework's store, as plain as can be."""

    def __init__(self) -> None:
        self.words: list[str] = []

    def add(self, word: str) -> None:
        self.words.append(word)

    def all(self) -> list[str]:
        return list(self.words)


KEEPER = Keeper(lambda store, _: {"words": store.words}, lambda word: (word, None), lambda text, _: text)
STORE = Store("words", lambda _: KEEPER)
ADD, ALL = STORE.plain("add")(Words.add), STORE.plain("get")(Words.all)


def test_what_frameworks_keep_is_in_the_daemons_memory(rig: Rig, tmp_path: Path):
    """With `memory=True` and a kernel elsewhere: another program finds it there, and what it changes is read back."""
    remote = rig.serve(managers=[MemoryManager(tmp_path / "m.db")])
    aios_adapters.enable(kernel=remote, memory=True)
    try:
        store = Words()
        for word in ("green", "tea"):
            with aios_adapters.agent("ann"):
                ADD(store, word)
        other = rig.client()
        notes = _do(other, Agent(name="ann"), "list")["notes"]
        assert [note["text"] for note in notes] == ["green", "tea"]
        _do(other, Agent(name="ann"), "update", id=notes[0]["id"], text="black")
        assert ALL(store) == ["black", "tea"]
    finally:
        aios_adapters.disable()


def test_a_daemon_without_a_memory_says_so(rig: Rig):
    """The error says what to do, before anything is taken for kept."""
    aios_adapters.enable(kernel=rig.serve(), memory=True)
    try:
        with pytest.raises(ConfigError, match="aios serve --data"):
            ADD(Words(), "green")
    finally:
        aios_adapters.disable()
