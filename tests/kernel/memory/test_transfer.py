"""An agent's memory as JSON lines: out, into another place, and what is refused."""

from __future__ import annotations

import json
from typing import Any

import pytest

from aios_kernel.errors import StoreError, VersionConflict
from aios_kernel.store import MemoryStore
from tests.kernel.memory.conftest import Rig


def test_out_and_in(rig: Rig):
    """Ids, texts, metadata, times and provenance arrive, in order; the notes are found there, and go on from there."""
    for at in range(3):
        rig.do("ann", "add", framework="autogen", id=f"{at}", text=f"café \n {at}", metadata={"at": at})
    rig.do("ann", "update", id="1", text="changed", source="call-9")
    rig.do("bob", "add", text="not ann's")
    lines = list(rig.manager.export("ann"))
    assert len(lines) == 3
    before = rig.do("ann", "list")["notes"]
    assert [json.loads(line) for line in lines] == before
    rig.start(store=MemoryStore())
    assert rig.manager.import_("ann", lines) == 3
    after = rig.do("ann", "list")["notes"]
    assert [{**note, "version": 0} for note in after] == [{**note, "version": 0} for note in before]
    assert [note["id"] for note in rig.do("ann", "retrieve", query="changed", k=1)["notes"]] == ["1"]
    with pytest.raises(VersionConflict):
        rig.manager.import_("ann", lines)
    assert rig.manager.import_("ann", lines, replace=True) == 3
    assert rig.do("ann", "get", id="1")["note"]["version"] == 2


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("{", "line 2 is not JSON"),
        ("[]", "line 2 is not a note"),
        ('{"id": "x"}', "needs id and text"),
        ('{"id": "x", "text": "y", "z": 1}', "may have"),
        ('{"id": "x", "text": 7}', "line 2: text"),
        ('{"id": "x", "text": "y", "created": "now"}', "line 2: created"),
        ('{"id": "x", "text": "y", "metadata": {"_agent": "z"}}', "begin with"),
    ],
)
def test_all_or_nothing(rig: Rig, line: str, said: str):
    """A file with one bad line changes nothing, and the error names the line."""
    with pytest.raises(StoreError, match=said):
        rig.manager.import_("ann", ['{"id": "a", "text": "fine"}', line])
    assert rig.do("ann", "list")["notes"] == []


def test_many_notes_are_exported_in_pages(rig: Rig):
    """More notes than fit a page come out once each."""
    many: list[Any] = [json.dumps({"id": f"{at}", "text": "x"}) for at in range(1200)]
    rig.manager.import_("ann", [*many, ""])
    assert [json.loads(line)["id"] for line in rig.manager.export("ann")] == [f"{at}" for at in range(1200)]
