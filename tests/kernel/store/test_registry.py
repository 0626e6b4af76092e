"""Stores by name, hybrid search's arithmetic, and the index that other managers use."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from aios_kernel.abi import Agent
from aios_kernel.embedding import LexicalEmbedder
from aios_kernel.errors import ConfigError, StoreError, UnknownName
from aios_kernel.storage import StorageManager
from aios_kernel.store import Hit, Hybrid, HybridIndex, MemoryStore, Record, SQLiteStore, fuse, make_store


def test_names(tmp_path: Path):
    """A path, a name, a name with a path, an object; an unknown name lists the known ones."""
    for spec in (tmp_path / "a.db", str(tmp_path / "b.db"), f"sqlite:{tmp_path / 'c.db'}"):
        store = make_store(spec)
        assert isinstance(store, SQLiteStore)
        store.close()
    assert isinstance(make_store("memory"), MemoryStore)
    assert isinstance(make_store(":memory:"), MemoryStore)
    assert make_store(kept := MemoryStore()) is kept
    with pytest.raises(UnknownName, match="memory, sqlite"):
        make_store("redis:somewhere")
    with pytest.raises(ConfigError):
        SQLiteStore(":memory:")


def test_fusion():
    """1 / (60 + rank), added up: what both rankings have comes first."""
    one, two = [Hit(id="a", score=9), Hit(id="b", score=8)], [Hit(id="b", score=0.9), Hit(id="c", score=0.1)]
    fused = fuse([one, two])
    assert [hit.id for hit in fused] == ["b", "a", "c"]
    assert fused[0].score == pytest.approx(1 / 62 + 1 / 61)
    assert fuse([]) == []


def test_an_index_for_others(tmp_path: Path):
    """Texts under ids: replaced, filtered, removed; it says when it begins with nothing."""
    index = HybridIndex(Hybrid(SQLiteStore(tmp_path / "i.db"), LexicalEmbedder()), "files")
    assert index.fresh
    index.index("1:a.txt", "cats and dogs", {"root": "agent:ann"})
    index.index("2:a.txt", "cats", {"root": "agent:bob"})
    index.index("1:a.txt", "dogs alone", {"root": "agent:ann"})
    assert not index.fresh
    assert [hit.id for hit in index.search("cat", 5, {"root": "agent:bob"})] == ["2:a.txt"]
    assert index.search("cats", 5, {"root": "agent:ann"}) == []
    index.remove("1:a.txt")
    index.remove("nothing")
    assert index.search("dogs", 5, {}) == []
    index.close()


def test_files_are_found_by_it(tmp_path: Path):
    """The storage manager's files, each agent's own, by words that are misspelt; a search goes by what is there now."""
    index = HybridIndex(Hybrid(SQLiteStore(tmp_path / "i.db"), LexicalEmbedder()), "files")
    manager = StorageManager(tmp_path / "files", index=index, fsync=False)
    ann, bob = Agent(name="ann"), Agent(name="bob")
    for agent, path, content in (
        (ann, "a.txt", "cats and dogs"),
        (ann, "b.txt", "stock prices"),
        (bob, "a.txt", "prices"),
    ):
        manager.perform(agent, "write", {"path": path, "content": content})
    found = manager.perform(ann, "retrieve", {"query": "pricse of stoks", "k": 1})
    assert "b.txt" in str(found)
    manager.perform(ann, "delete", {"path": "b.txt"})
    assert "b.txt" not in str(manager.perform(ann, "retrieve", {"query": "stock prices"}))
    manager.close()
    index.close()


def test_a_file_that_is_no_store(tmp_path: Path):
    """A damaged file is an error of ours that names it; nothing is overwritten."""
    path = tmp_path / "bad.db"
    path.write_bytes(b"not a database" * 1000)
    with pytest.raises(StoreError, match=r"bad\.db failed: file is not a database"):
        SQLiteStore(path)
    assert path.read_bytes() == b"not a database" * 1000
    store = SQLiteStore(tmp_path / "newer.db")
    with store._file.use() as run:
        run.execute("PRAGMA user_version = 99")
    store.close()
    with pytest.raises(StoreError, match="newer version"):
        SQLiteStore(tmp_path / "newer.db")
    with pytest.raises(StoreError, match="closed"):
        store.count("c")


def test_old_removals_are_forgotten(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """A store that is written for ever does not grow for ever; who asks for what was forgotten is told to begin anew."""
    from aios_kernel.store import sqlite

    monkeypatch.setattr(sqlite, "FORGET_BEHIND", 10)
    store = SQLiteStore(tmp_path / "r.db")
    store.put(
        "c",
        [
            Record(id="kept", text="", vector=(1.0, 0.0), space="s"),
            Record(id="x", text="", vector=(1.0, 0.0), space="s"),
        ],
    )
    other = SQLiteStore(tmp_path / "r.db")
    assert len(other.search_vector("c", "s", (1.0, 0.0), 5)) == 2
    assert len(other.changes(0, 10) or ()) == 2
    store.remove("c", ["x"])
    for at in range(30):
        store.put("c", [Record(id=f"{at}", text="")])
        store.remove("c", [f"{at}"])
    with store._file.use() as run:
        assert run.execute("SELECT count(*) FROM removed").fetchone()[0] <= 10
    assert store.changes(0, 10) is None
    assert store.changes(store.stamp() - 1, 10) is not None
    assert [hit.id for hit in other.search_vector("c", "s", (1.0, 0.0), 5)] == ["kept"]
    other.close()
    store.close()


def test_a_child_goes_on_with_the_file(tmp_path: Path):
    """After a fork both processes read and write it; neither disturbs the other's connection."""
    store = SQLiteStore(tmp_path / "r.db")
    store.put("c", [Record(id="a", text="parent")])
    child = os.fork()
    if not child:
        try:
            store.after_fork()
            store.put("c", [Record(id="b", text="child")], expect=0)
            os._exit(0 if store.get("c", ["a"])[0] else 1)
        finally:
            os._exit(2)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    store.put("c", [Record(id="b", text="again")], expect=1)
    store.check()
    assert store.count("c") == 2
    store.close()


def test_nothing_heavy_is_loaded():
    """Importing memory and stores loads neither numpy nor torch."""
    code = "import sys, aios_kernel.memory, aios_kernel.store; assert not {'numpy', 'torch', 'chromadb'} & sys.modules.keys()"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_a_store_in_memory_forgets_old_removals(monkeypatch):
    """A long life with many of them takes no more memory; whoever asks for older ones is told to look at everything."""
    monkeypatch.setattr("aios_kernel.store.memory.REMEMBERED", 2)
    store = MemoryStore()
    store.put("c", [Record(id=str(number), text="") for number in range(4)])
    before = store.stamp()
    store.remove("c", ["0", "1"])
    assert [change.id for change in store.changes(before, 10) or ()] == ["0", "1"]
    store.remove("c", ["2"])
    assert store.changes(before, 10) is None
    assert [change.id for change in store.changes(store.stamp() - 2, 10) or ()] == ["1", "2"]
