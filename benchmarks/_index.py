"""The indexes under `kill -9`: words (FTS5), vectors, chromadb where it is installed; functions for the benchmarks.

An index that is damaged or behind may take time to be made anew; it may not fail, or find what is not there.
"""

from __future__ import annotations

import importlib.util
import os
import random
import signal
import sqlite3
import sys
import tempfile
import time
from contextlib import closing
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))

import _common as common
import _kills

common.use_checkout()

from aios_kernel.errors import AiosError  # noqa: E402
from aios_kernel.storage.index import KeywordIndex  # noqa: E402
from aios_kernel.store import Record, SQLiteStore  # noqa: E402

POINTS = ("", "put: a record written", "put: before commit", "put: after commit", "remove: a record removed")
NAMES = 40
LENGTH = 32
SPACE = "random"
GONE = "-"


def has_chromadb() -> bool:
    """Whether chromadb can be imported here."""
    return importlib.util.find_spec("chromadb") is not None


class Store:
    """Records with words and vectors in one file, with or without chromadb beside it."""

    def __init__(self, path: Path, crash_point: Any = lambda _: None, *, chroma: bool = False) -> None:
        self.below = SQLiteStore(path, crash_point=crash_point)
        self.store: Any = self.below
        if chroma:
            from aios_integrations.chroma import ChromaStore

            self.store = ChromaStore(self.below, Path(f"{path}.chroma"), background=False)

    def put(self, name: str, mark: str) -> None:
        """Keep a record under a name, found by this mark."""
        self.store.put("c", [Record(id=name, text=f"text of {mark}", vector=vector_of(mark), space=SPACE)])

    def remove(self, name: str) -> None:
        """Remove it."""
        self.store.remove("c", [name])

    def find(self, name: str, mark: str) -> int:
        """How often the name is found by the mark's word, and by its vector if it is found by that word."""
        found = [hit.id for hit in self.store.search_text("c", mark, NAMES)].count(name)
        near = [hit.id for hit in self.store.search_vector("c", SPACE, vector_of(mark), 3) if hit.score > 0.999]
        return max(found, near.count(name)) if min(found, near.count(name)) else -max(found, near.count(name))

    def close(self) -> None:
        """Close both."""
        self.store.close()
        if self.store is not self.below:
            self.below.close()


class Words:
    """The index of the storage manager's files."""

    def __init__(self, path: Path) -> None:
        self.index = KeywordIndex(str(path))

    def put(self, name: str, mark: str) -> None:
        """Keep a text under a name, found by this mark."""
        self.index.index(name, f"text of {mark}", {"root": "c"})

    def remove(self, name: str) -> None:
        """Remove it."""
        self.index.remove(name)

    def find(self, name: str, mark: str) -> int:
        """How often the name is found by the mark."""
        return [hit.id for hit in self.index.search(mark, NAMES, {"root": "c"})].count(name)

    def close(self) -> None:
        """Close it."""
        self.index.close()


def opened(kind: str, path: Path, **options: Any) -> Store | Words:
    """An index of a kind: words, sqlite or chroma."""
    return Words(path) if kind == "words" else Store(path, chroma=kind == "chroma", **options)


def vector_of(mark: str) -> tuple[float, ...]:
    """The vector that goes with a mark."""
    dice = random.Random(mark)
    return tuple(dice.gauss(0, 1) for _ in range(LENGTH))


class Crashes:
    """Kill a writer of one index again and again; what was acknowledged is found, once, and what it replaced is not."""

    def __init__(self, base: Path, seed: int = 1) -> None:
        self.base, self.random = base, random.Random(seed)
        self.kinds = ("sqlite", "words", *(["chroma"] if has_chromadb() else []))
        self.report: dict[str, Any] = {**_kills.new_report(), "kinds": list(self.kinds)}
        self.sizes: list[tuple[int, int]] = []
        self._known: dict[str, dict[str, str]] = {kind: {} for kind in self.kinds}  # the mark of each name
        self._turn = 0

    def step(self) -> None:
        """One writer, killed at a named point or anywhere."""
        kind = self.kinds[self._turn % len(self.kinds)]
        point = "" if kind == "words" else POINTS[self._turn // len(self.kinds) % len(POINTS)]
        self._turn += 1
        wait: dict[str, Any] = (
            {} if point else {"lines": self.random.randrange(2, 60), "pause": self.random.random() / 100}
        )
        options = (kind, self.base / kind, self.random.randrange(1 << 30), point, self.random.randrange(1, 25))
        said, code, error = _kills.run_until_killed(__file__, *options, **wait)
        _kills.was_killed(self.report, code, error)
        known, replaced = self._known[kind], dict[str, set[str]]()
        under_way: tuple[str, str] | None = None
        for line in said:
            sign, name, mark = line.split()
            under_way = (name, mark) if sign == "+" else None
            if sign == "=":
                replaced.setdefault(name, set()).add(known.get(name, GONE))
                known[name] = mark
                self.report["acknowledged"] += 1
        self._look(kind, under_way, replaced)

    def finish(self) -> None:
        """Nothing is left to be done."""

    def _look(self, kind: str, under_way: tuple[str, str] | None, replaced: dict[str, set[str]]) -> None:
        begin = time.monotonic()
        try:
            with closing(opened(kind, self.base / kind)) as index:
                index.find("nothing", "nothing")  # chromadb's index is made anew by now
                took = time.monotonic() - begin
                self.report["recovery_seconds"] = max(self.report["recovery_seconds"], took)
                for name in self._known[kind] | ({under_way[0]: GONE} if under_way else {}):
                    self._look_for(kind, index, name, under_way, replaced.get(name, set()))
                used = getattr(getattr(index, "store", None), "searches", {"chromadb": 1})
                if not used["chromadb"]:
                    self._problem("lost", "chromadb was not made anew: searches stayed exact")
        except (AiosError, sqlite3.Error) as error:
            self._problem("unopenable", f"unopenable: {kind}: {error}")
            return
        size = _kills.size_of(self.base)
        live = sum(mark != GONE for known in self._known.values() for mark in known.values())
        self.sizes.append((live, size))
        self.report["disk_bytes"] = max(self.report["disk_bytes"], size)

    def _look_for(
        self, kind: str, index: Store | Words, name: str, under_way: tuple[str, str] | None, replaced: set[str]
    ) -> None:
        told = self._known[kind].get(name, GONE)
        allowed = {told, under_way[1]} if under_way is not None and under_way[0] == name else {told}
        found = {mark: index.find(name, mark) for mark in (allowed | replaced) - {GONE}}
        there = [mark for mark, times in found.items() if times]
        for mark in there:
            if mark not in allowed or found[mark] > 1 or len(there) > 1:
                self._problem("duplicated", f"{kind}: {name} is found by {mark}, {found[mark]} times, beside {there}")
            elif found[mark] < 0:
                self._problem("lost", f"{kind}: {name} is found by the word or the vector of {mark}, not by both")
        if not there and GONE not in allowed:
            self._problem("lost", f"{kind}: {name} is not found by {told}")
        self._known[kind][name] = there[0] if there else GONE

    def _problem(self, what: str, text: str) -> None:
        self.report[what] += 1
        self.report["problems"].append(text)


def damaged() -> dict[str, Any]:
    """Overwrite, cut and remove chromadb's files; say whether all is found again, by chromadb."""
    if not has_chromadb():
        return {"ran": False, "why": "chromadb is not installed: pip install 'aios-adapters[chroma]'"}
    rebuilt: dict[str, bool] = {}
    seconds = 0.0
    for way in ("overwritten", "cut short", "removed"):
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "r.db"
            with closing(opened("chroma", path)) as index:
                for at in range(200):
                    index.put(f"{at}", f"mark{at}")
                index.find("0", "mark0")
            for file in Path(f"{path}.chroma").rglob("*"):
                if file.is_file() and "data" in file.parts:
                    _damage(file, way)
            begin = time.monotonic()
            with closing(opened("chroma", path)) as index:
                found = all(index.find(f"{at}", f"mark{at}") == 1 for at in range(200))
                used: Any = getattr(index, "store")  # noqa: B009 - of one of the two kinds
                rebuilt[way] = found and used.searches == {"chromadb": 200, "exact": 0}
            seconds = max(seconds, time.monotonic() - begin)
    return {"ran": True, "rebuilt": rebuilt, "seconds": round(seconds, 2)}


def _damage(file: Path, way: str) -> None:
    size = file.stat().st_size
    if way == "overwritten":
        file.write_bytes(os.urandom(size))
    elif way == "cut short":
        os.truncate(file, size // 2)
    else:
        file.unlink()


def write(kind: str, path: str, seed: int, point: str, hits: int) -> None:
    """Write until killed; say each write before it is made ("+") and when it was acknowledged ("=")."""
    left = hits

    def crash_point(name: str) -> None:
        nonlocal left
        left -= name == point
        if name == point and left == 0:
            os.kill(os.getpid(), signal.SIGKILL)

    dice = random.Random(seed)
    index = opened(kind, Path(path), **({} if kind == "words" else {"crash_point": crash_point}))
    for turn in range(100_000):
        name, mark = f"n{dice.randrange(NAMES)}", GONE if dice.random() < 0.2 else f"m{seed}x{turn}"
        print("+", name, mark, flush=True)
        if mark == GONE:
            index.remove(name)
        else:
            index.put(name, mark)
        print("=", name, mark, flush=True)
        if turn % 10 == 0:
            index.find(name, "nothing")  # brings chromadb's index up to date


if __name__ == "__main__":
    write(sys.argv[1], sys.argv[2], int(sys.argv[3]), sys.argv[4], int(sys.argv[5]))
