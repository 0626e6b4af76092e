"""chromadb as an index: it holds to the contract of stores, and nothing that happens to it is more than a delay."""

from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from aios_integrations.chroma import ChromaStore
from aios_integrations.chroma.place import MARKER
from aios_kernel.errors import ConfigError
from aios_kernel.store import MemoryStore, Record, SQLiteStore, make_store
from tests.contracts.store import StoreContract

pytest.importorskip("chromadb", reason="chromadb is not installed: pip install 'aios-adapters[chroma]'")
pytestmark = pytest.mark.filterwarnings("default")

SPACE = "test/8"
RANDOM = random.Random(3)
ROWS = [tuple(RANDOM.gauss(0, 1) for _ in range(8)) for _ in range(300)]


class TestContract(StoreContract):
    exact = False

    @pytest.fixture
    def store(self, tmp_path: Path) -> Iterator[ChromaStore]:
        store = ChromaStore(tmp_path / "records.db", background=False)
        yield store
        assert store._failures == 0
        store.close()


def _filled(path: Path) -> ChromaStore:
    store = ChromaStore(path, background=False)
    store.put("c", [Record(id=f"{at}", text="x", vector=row, space=SPACE) for at, row in enumerate(ROWS)])
    return store


def _near(store: ChromaStore, at: int) -> list[str]:
    return [hit.id for hit in store.search_vector("c", SPACE, ROWS[at], 5)]


def test_it_finds_what_exact_search_finds(tmp_path: Path):
    """Nine in ten of the nearest, at the least, and by chromadb: not by the exact search that stands by."""
    store = _filled(tmp_path / "r.db")
    exact = SQLiteStore(tmp_path / "r.db")
    same = sum(
        len(set(_near(store, at)) & {h.id for h in exact.search_vector("c", SPACE, ROWS[at], 5)}) for at in range(50)
    )
    assert same >= 0.9 * 250
    assert store.searches == {"chromadb": 50, "exact": 0}
    store.search_vector("c", SPACE, ROWS[0], 5, {"x": 1})
    assert store.searches["exact"] == 1
    exact.close()
    store.close()


def _missing(folder: Path) -> None:
    shutil.rmtree(folder)


def _no_marker(folder: Path) -> None:
    (folder / MARKER).unlink()


def _garbage(folder: Path) -> None:
    for path in (folder / "data").rglob("*"):
        if path.is_file():
            path.write_bytes(os.urandom(path.stat().st_size))


def _cut(folder: Path) -> None:
    os.truncate(folder / "data" / "chroma.sqlite3", 5000)


def _one_bit(folder: Path) -> None:
    path = folder / "data" / "chroma.sqlite3"
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


def _marker_is_nonsense(folder: Path) -> None:
    (folder / MARKER).write_text('["x"]')


@pytest.mark.parametrize("damage", [_missing, _no_marker, _garbage, _cut, _one_bit, _marker_is_nonsense])
def test_a_damaged_index_is_made_anew(tmp_path: Path, damage: object):
    """Whatever happens to the folder, the next process finds the same, by an index made from the records."""
    store = _filled(tmp_path / "r.db")
    wanted = _near(store, 7)
    store.close()
    assert (tmp_path / "r.db.chroma" / MARKER).exists()
    damage(tmp_path / "r.db.chroma")  # pyright: ignore[reportCallIssue]
    again = ChromaStore(tmp_path / "r.db", background=False)
    assert _near(again, 7) == wanted
    assert again.searches == {"chromadb": 1, "exact": 0}
    assert again._failures == 0
    again.close()


def test_a_whole_index_is_kept(tmp_path: Path):
    """After a clean close it is not made anew, and takes in only what was written without it."""
    _near(store := _filled(tmp_path / "r.db"), 0)
    store.close()
    plain = SQLiteStore(tmp_path / "r.db")
    plain.remove("c", ["7"])
    plain.put("c", [Record(id="new", text="x", vector=ROWS[7], space=SPACE)])
    plain.close()
    again = ChromaStore(tmp_path / "r.db", background=False)
    (tmp_path / "r.db.chroma" / "data" / "witness").touch()  # gone if the folder is thrown away
    (tmp_path / "r.db.chroma" / "data" / "witness").unlink()
    before = (tmp_path / "r.db.chroma" / "data" / "chroma.sqlite3").stat().st_ino
    assert _near(again, 7)[0] == "new"
    assert "7" not in _near(again, 7)
    assert (tmp_path / "r.db.chroma" / "data" / "chroma.sqlite3").stat().st_ino == before
    again.close()


def test_an_index_of_another_store(tmp_path: Path):
    """An index that belongs to other records, or is ahead of these, is thrown away."""
    _near(store := _filled(tmp_path / "r.db"), 0)
    shutil.copy(tmp_path / "r.db", tmp_path / "old.db") if not store.close() else None
    ahead = _filled(tmp_path / "r.db")
    ahead.put("c", [Record(id="later", text="x", vector=ROWS[9], space=SPACE)])
    _near(ahead, 0)
    ahead.close()
    shutil.copy(tmp_path / "old.db", tmp_path / "r.db")
    back = ChromaStore(tmp_path / "r.db", background=False)
    assert "later" not in _near(back, 9)
    back.close()
    other = ChromaStore(tmp_path / "other.db", tmp_path / "r.db.chroma", background=False)
    assert _near(other, 9) == []
    other.close()


def test_a_second_process_searches_exactly(tmp_path: Path):
    """Two processes never have the folder at once; the second one does without."""
    store = _filled(tmp_path / "r.db")
    wanted = _near(store, 7)
    code = f"""
from aios_integrations.chroma import ChromaStore
store = ChromaStore({str(tmp_path / "r.db")!r}, background=False)
print([hit.id for hit in store.search_vector("c", {SPACE!r}, {ROWS[7]!r}, 5)], store.searches)
store.close()
"""
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert said.split(" {")[0] == str(wanted)
    assert "'chromadb': 0, 'exact': 1" in said
    store.close()


@pytest.mark.parametrize("seed", range(4))
def test_killed_in_the_middle(tmp_path: Path, seed: int):
    """Killed while chromadb writes, the next process finds every record, and its index is made anew."""
    code = f"""
import os, signal, sys, threading
from aios_integrations.chroma import ChromaStore
from aios_kernel.store import Record
store = ChromaStore({str(tmp_path / "r.db")!r}, background=False)
rows = {ROWS[:40]!r}
for at in range(10_000):
    store.put("c", [Record(id=str(at), text="x", vector=rows[at % 40], space={SPACE!r})])
    store.search_vector("c", {SPACE!r}, rows[0], 3)
    print(at, flush=True)
"""
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    said = [process.stdout.readline() for _ in range(30 + 17 * seed)]
    process.kill()
    said += process.stdout.read().splitlines()
    process.wait()
    process.stdout.close()
    assert process.returncode == -signal.SIGKILL
    store = ChromaStore(tmp_path / "r.db", background=False)
    assert store.count("c") >= int(said[-1]) + 1
    assert "0" in _near(store, 0)
    assert store.searches["chromadb"] == 1
    size = sum(path.stat().st_blocks * 512 for path in tmp_path.rglob("*") if path.is_file())
    assert size < 50 << 20
    store.close()


def test_in_the_background(tmp_path: Path):
    """Searches are exact until the index is there; many writes at once are taken in beside them."""
    _filled(tmp_path / "r.db").close()
    shutil.rmtree(tmp_path / "r.db.chroma", ignore_errors=True)
    store = ChromaStore(tmp_path / "r.db")
    wanted = _near(store, 7)
    assert store.searches["exact"] == 1
    assert store.wait(60)
    assert _near(store, 7) == wanted
    assert store.searches["chromadb"] == 1
    store.close()


def test_loaded_beside_a_search(tmp_path: Path):
    """The first search of a program loads numpy while chromadb loads it in the background: neither sees it half made."""
    _filled(tmp_path / "r.db").close()
    code = f"""
from aios_integrations.chroma import ChromaStore
store = ChromaStore({str(tmp_path / "r.db")!r})
for turn in range(50):
    assert len(store.search_vector("c", {SPACE!r}, {ROWS[7]!r}, 5)) == 5
assert store.wait(120)
store.search_vector("c", {SPACE!r}, {ROWS[7]!r}, 5)
assert store.searches["chromadb"] > 0, store.searches
store.close()
"""
    for _ in range(3):
        ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
        assert (ran.returncode, ran.stderr) == (0, "")
        shutil.rmtree(tmp_path / "r.db.chroma")


def test_in_a_child(tmp_path: Path):
    """A forked child leaves the index to its parent and searches exactly."""
    store = _filled(tmp_path / "r.db")
    wanted = _near(store, 7)
    child = os.fork()
    if not child:
        try:
            store.after_fork()
            os._exit(0 if _near(store, 7) == wanted and store.searches["exact"] == 1 else 1)
        finally:
            os._exit(2)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert _near(store, 7) == wanted
    store.close()


def test_by_name(tmp_path: Path):
    """A store is found under its name, and says where its index is to be if it cannot know."""
    store = make_store(f"chroma:{tmp_path / 'r.db'}")
    assert isinstance(store, ChromaStore)
    store.close()
    with pytest.raises(ConfigError, match="folder"):
        ChromaStore(MemoryStore())
