"""The memory manager by its calls: verbs, versions, provenance, isolation, and what is refused."""

from __future__ import annotations

import os
import threading
from typing import Any

import pytest

from aios_kernel import Kernel
from aios_kernel.access import AccessManager, parse
from aios_kernel.errors import AccessDenied, NoteMissing, StoreError, VersionConflict
from aios_kernel.memory import MemoryManager
from tests.kernel.memory.conftest import Rig


def test_the_life_of_a_note(rig: Rig):
    """Added, got, changed, listed, removed; each version says who wrote it, in which call, and when."""
    first = rig.do("ann", "add", framework="autogen", text="the sky is blue", metadata={"topic": "sky"})["note"]
    assert first == {
        "id": "n1",
        "text": "the sky is blue",
        "metadata": {"topic": "sky"},
        "version": 1,
        "agent": "ann",
        "framework": "autogen",
        "source": first["source"],
        "created": 1000.0,
        "updated": 1000.0,
    }
    assert first["source"].partition(":")[2].isdigit()
    assert rig.do("ann", "get", id="n1") == {"note": first}
    second = rig.do("ann", "update", id="n1", text="the sky is grey", source="call-7")["note"]
    assert (second["version"], second["metadata"], second["source"]) == (2, {"topic": "sky"}, "call-7")
    assert (second["created"], second["updated"], second["framework"]) == (1000.0, 1001.0, "")
    assert rig.do("ann", "list") == {"notes": [second], "after": None}
    assert rig.do("ann", "remove", id="n1") == {"removed": True}
    assert rig.do("ann", "remove", id="n1") == {"removed": False}
    with pytest.raises(NoteMissing, match="no note 'n1'"):
        rig.do("ann", "get", id="n1")


def test_compare_and_swap(rig: Rig):
    """Who writes to a version that is gone is told, and changes nothing; an id is given once."""
    rig.do("ann", "add", id="a", text="one")
    rig.do("ann", "update", id="a", text="two", version=1)
    late: list[tuple[str, dict[str, Any]]] = [("update", {"text": "late", "version": 1}), ("remove", {"version": 1})]
    for verb, arguments in late:
        with pytest.raises(VersionConflict, match="is at version 2"):
            rig.do("ann", verb, id="a", **arguments)
    with pytest.raises(VersionConflict):
        rig.do("ann", "add", id="a", text="again")
    assert rig.do("ann", "get", id="a")["note"]["text"] == "two"


def test_updates_at_once_are_all_there(rig: Rig):
    """Four threads through two kernels over one file count up one note: none is lost, with and without versions."""
    rig.do("ann", "add", id="a", text="", metadata={"n": 0})
    other, _ = rig.start()
    kernels = [rig.kernel, other]

    def count(kernel: Any) -> None:
        for _ in range(10):
            while True:
                note = rig.do("ann", "get", id="a", kernel=kernel)["note"]
                more = {"n": note["metadata"]["n"] + 1}
                try:
                    rig.do("ann", "update", id="a", metadata=more, version=note["version"], kernel=kernel)
                    break
                except VersionConflict:
                    continue

    threads = [threading.Thread(target=count, args=(kernel,)) for kernel in kernels * 2]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    note = rig.do("ann", "get", id="a")["note"]
    assert (note["metadata"], note["version"]) == ({"n": 40}, 41)
    assert rig.do("ann", "get", id="a", kernel=kernels[0])["note"] == note


def test_what_another_process_writes_is_seen(rig: Rig):
    """A note in memory is not taken for the newest when another kernel has changed, removed or added it anew."""
    mine = rig.kernel
    rig.do("ann", "add", id="a", text="one")
    theirs, _ = rig.start()
    for text in ("two", "three"):
        rig.do("ann", "update", id="a", text=text, kernel=theirs)
        assert rig.do("ann", "get", id="a", kernel=mine)["note"]["text"] == text
    rig.do("ann", "remove", id="a", kernel=theirs)
    for version in (1, 2, 3):
        rig.do("ann", "add" if version == 1 else "update", id="a", text=f"anew {version}", kernel=theirs)
    assert rig.do("ann", "get", id="a", kernel=mine)["note"]["text"] == "anew 3"


def test_finding(rig: Rig):
    """By words, by spelling, by both; filtered by metadata and by who wrote it."""
    for at, text in enumerate(["the cat sat on the mat", "dogs chase cats", "stock prices fell", "a catalogue"]):
        rig.do("ann", "add", framework="one" if at % 2 else "two", text=text, metadata={"at": at})

    def found(query: str, **arguments: Any) -> list[int]:
        answer = rig.do("ann", "retrieve", query=query, framework="", **arguments)["notes"]
        assert [note["score"] for note in answer] == sorted((note["score"] for note in answer), reverse=True)
        return [note["metadata"]["at"] for note in answer]

    assert found("cat", mode="text") in ([0, 1], [1, 0])
    assert set(found("cat")[:2]) == {0, 1}
    assert found("stok pricse", mode="vector", k=1) == [2]
    assert found("price of a stock", k=1) == [2]
    assert found("cat", where={"at": {"$gt": 0}}, mode="text") == [1]
    assert found("cat", where={"_framework": "two"}, mode="text") == [0]
    assert found("", k=3) == []


def test_pages(rig: Rig):
    """A long memory is listed page by page."""
    for at in range(7):
        rig.do("ann", "add", text=f"{at}", metadata={"even": at % 2 == 0})
    texts: list[str] = []
    after: int | None = 0
    while after is not None:
        page = rig.do("ann", "list", limit=3, after=after)
        after = page["after"]
        texts += [note["text"] for note in page["notes"]]
    assert texts == list("0123456")
    assert [note["text"] for note in rig.do("ann", "list", where={"even": True})["notes"]] == list("0246")


def test_agents_are_apart(rig: Rig):
    """Another agent's notes cannot be read, changed, listed or found, by any verb, without leave."""
    rig.do("ann", "add", id="a", text="the secret of ann")
    attempts: list[tuple[str, dict[str, Any]]] = [
        ("add", {"text": "x", "agent": "ann"}),
        ("get", {"id": "a", "agent": "ann"}),
        ("update", {"id": "a", "text": "x", "agent": "ann"}),
        ("remove", {"id": "a", "agent": "ann"}),
        ("list", {"agent": "ann"}),
        ("retrieve", {"query": "secret", "agent": "ann"}),
        ("retrieve", {"query": "secret", "agents": ["bob", "ann"]}),
        ("get", {"id": "a", "agent": "agent:ann"}),
    ]
    for verb, arguments in attempts:
        with pytest.raises(AccessDenied, match=r"'bob' may not .* 'ann'"):
            rig.do("bob", verb, **arguments)
    for verb, arguments in (("get", {"id": "a"}), ("update", {"id": "a", "text": "x"})):
        with pytest.raises(NoteMissing):
            rig.do("bob", verb, **arguments)
    assert rig.do("bob", "list")["notes"] == rig.do("bob", "retrieve", query="secret")["notes"] == []
    assert rig.do("ann", "get", id="a")["note"]["version"] == 1


def test_leave_to_read_another_s_notes(rig: Rig):
    """What the hook allows is done, and it alone; notes of several agents are one ranking and say whose they are."""
    asked: list[tuple[str, str, str]] = []

    def allowed(process: Any, action: str, target: str) -> bool:
        asked.append((process.name, action, target))
        return action in ("memory.retrieve", "memory.add") and target == "memory:ann"

    rig.start(allowed=allowed)
    rig.do("ann", "add", id="a", text="apples are red")
    rig.do("bob", "add", id="b", text="red wine")
    note = rig.do("bob", "add", text="a hint for ann", agent="ann")["note"]
    assert note["agent"] == "bob"
    found = rig.do("bob", "retrieve", query="red", agents=["bob", "ann"])["notes"]
    assert {(one["owner"], one["id"]) for one in found} == {("ann", "a"), ("bob", "b")}
    with pytest.raises(AccessDenied):
        rig.do("bob", "get", id="a", agent="ann")
    with pytest.raises(AccessDenied):
        rig.do("ann", "retrieve", query="red", agent="bob")
    assert asked[0] == ("bob", "memory.add", "memory:ann")
    assert ("ann", "memory.add", "memory:ann") not in asked


def test_groups_share_notes(rig: Rig):
    """A group's notes are whoever's the hook lets in, each note says who wrote it; a name that looks like it is not it."""
    rig.start(allowed=lambda process, action, target: target == "memory:group:team" and process.name in ("ann", "bob"))
    rig.do("ann", "add", framework="autogen", id="a", text="the deadline is Friday", agent="group:team")
    found = rig.do("bob", "retrieve", framework="langchain", query="deadline", agents=["bob", "group:team"])["notes"]
    assert [(note["owner"], note["agent"], note["framework"]) for note in found] == [("group:team", "ann", "autogen")]
    for name in ("group:team", "eve", "agent:ann", "group:team/x", "%"):
        assert rig.do(name, "list")["notes"] == []
        with pytest.raises(AccessDenied):
            rig.do(name, "get", id="a", agent="group:team")
        rig.do(name, "add", text=f"of {name}")
        assert [note["text"] for note in rig.do(name, "list")["notes"]] == [f"of {name}"]
    assert len(rig.do("ann", "list", agent="group:team")["notes"]) == 1


def test_the_access_manager_decides(rig: Rig):
    """The rules of a policy open another's notes, by name and in a list; at the gate and in the manager alike."""
    access = AccessManager(
        parse('[[rules]]\ndo = "memory.retrieve"\nto = "memory:ann"\nwho = "bob"\neffect = "allow"\n')
    )
    memory = MemoryManager(
        rig.path,
        allowed=lambda process, action, target: access.explain(process.agent, action, target).effect == "allow",
    )
    kernel = Kernel(managers=[access, memory])
    rig.do("ann", "add", kernel=kernel, id="a", text="apples")
    whoses: list[dict[str, Any]] = [{"agent": "ann"}, {"agents": ["ann", "bob"]}]
    for whose in whoses:
        assert len(rig.do("bob", "retrieve", kernel=kernel, query="apples", **whose)["notes"]) == 1
        with pytest.raises(AccessDenied):
            rig.do("eve", "retrieve", kernel=kernel, query="apples", **whose)
    with pytest.raises(AccessDenied):
        rig.do("bob", "get", kernel=kernel, id="a", agent="ann")
    kernel.close()


@pytest.mark.parametrize(
    ("verb", "arguments", "said"),
    [
        ("forget", {}, "no verb 'forget'"),
        ("get", {}, "needs id"),
        ("get", {"id": 7}, "needs id"),
        ("get", {"id": ""}, "needs id"),
        ("get", {"id": "a", "colour": 1}, "not colour"),
        ("add", {}, "needs text"),
        ("add", {"text": "x", "metadata": [1]}, "metadata"),
        ("add", {"text": "x", "metadata": {"_agent": "ann"}}, "begin with '_'"),
        ("add", {"text": "x" * (1 << 21)}, "too large"),
        ("add", {"text": "\ud800"}, "surrogates"),
        ("update", {"id": "a", "version": 0}, "at least 1"),
        ("update", {"id": "a", "version": True}, "at least 1"),
        ("retrieve", {"query": "x", "k": -1}, "at least 1"),
        ("retrieve", {"query": "x", "mode": "psychic"}, "hybrid, text, vector"),
        ("retrieve", {"query": "x", "agents": []}, "list of names"),
        ("list", {"where": "x"}, "where is an object"),
        ("list", {"where": {"x": {"$bad": 1}}}, "unknown operator"),
    ],
)
def test_what_makes_no_sense_is_said(rig: Rig, verb: str, arguments: dict[str, Any], said: str):
    """Wrong arguments are an error that says what is expected, and hurt nobody."""
    with pytest.raises(StoreError, match=said):
        rig.do("ann", verb, **arguments)
    rig.do("ann", "add", text="fine")


def test_a_kernel_that_is_closed(rig: Rig):
    """The file is given back with the kernel, and another one opens it."""
    rig.do("ann", "add", id="a", text="kept")
    rig.kernel.close()
    rig.start()
    assert rig.do("ann", "get", id="a")["note"]["text"] == "kept"


def test_a_child_process(rig: Rig):
    """After a fork, parent and child go on with the same notes, each seeing what the other writes."""
    rig.do("ann", "add", id="a", text="one")
    child = os.fork()
    if not child:
        try:
            rig.do("ann", "update", id="a", text="two", version=1)
            os._exit(0)
        finally:
            os._exit(1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert rig.do("ann", "get", id="a")["note"]["text"] == "two"
