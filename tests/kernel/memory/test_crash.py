"""Killed at any moment, a memory opens again and has every write that was acknowledged, whole."""

from __future__ import annotations

import random
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from aios_kernel import Kernel
from aios_kernel.abi import Agent, MemoryCall
from aios_kernel.memory import MemoryManager
from aios_kernel.store import SQLiteStore

POINTS = ["put: a record written", "put: before commit", "put: after commit", "remove: a record removed"]
# Says "+NAME" before a write, "=NAME VERSION" once it was acknowledged; "-NAME" and "_NAME" around a removal.
WRITER = """
import os, random, signal, sys
from aios_kernel import Kernel
from aios_kernel.abi import Agent, MemoryCall
from aios_kernel.memory import MemoryManager
from aios_kernel.store import SQLiteStore

path, seed, point, after = sys.argv[1], int(sys.argv[2]), sys.argv[3], int(sys.argv[4])
seen = 0

def crash(name):
    global seen
    seen += name == point
    if point and seen > after:
        os.kill(os.getpid(), signal.SIGKILL)

random_ = random.Random(seed)
kernel = Kernel(managers=[MemoryManager(SQLiteStore(path, crash_point=crash), budget=5000)])

def do(verb, **arguments):
    with kernel.syscall(MemoryCall(agent=Agent(name="ann"), verb=verb, arguments=arguments)) as grant:
        return grant.reply().data

versions = {}
while True:
    name = f"{seed}-{random_.randrange(30)}"
    if name in versions and random_.random() < 0.2:
        print(f"-{name}", flush=True)
        do("remove", id=name)
        del versions[name]
        print(f"_{name}", flush=True)
        continue
    at = versions.get(name, 0) + 1
    print(f"+{name}", flush=True)
    do("add" if at == 1 else "update", id=name, text=f"{name} at {at} " + "x" * random_.randrange(500))
    versions[name] = at
    print(f"={name} {at}", flush=True)
"""


def _run_and_kill(path: Path, seed: int, point: str) -> str:
    random_ = random.Random(seed)
    after = str(random_.randrange(40))
    process = subprocess.Popen(
        [sys.executable, "-c", WRITER, str(path), str(seed), point, after], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    said = ""
    if not point:  # at a random moment, once it is writing
        for _ in range(random_.randrange(5, 60)):
            said += process.stdout.readline()
        time.sleep(random_.random() / 100)
        process.kill()
    said += process.stdout.read()
    process.wait()
    process.stdout.close()
    assert process.returncode == -signal.SIGKILL
    return said


def _replay(said: str) -> tuple[dict[str, int], str]:
    """Versions that were acknowledged, and the name of which a write was under way."""
    known: dict[str, int] = {}
    open_name = ""
    for line in said.splitlines():
        sign, rest = line[0], line[1:]
        if sign in "+-":
            open_name = rest
        elif sign == "=":
            name, version = rest.split()
            known[name], open_name = int(version), ""
        else:
            known.pop(rest)
            open_name = ""
    return known, open_name


@pytest.mark.parametrize("point", ["", *POINTS])
def test_killed_while_it_writes(tmp_path: Path, point: str):
    """Kill -9 again and again over one file: nothing acknowledged is lost, and nothing is half there."""
    path = tmp_path / "memory.db"
    for seed in range(3):
        known, under_way = _replay(_run_and_kill(path, seed, point))
        assert known
        store = SQLiteStore(path)
        store.check()
        found = {record.id: record for record in store.scan("memory:ann") if record.id.startswith(f"{seed}-")}
        for name, version in known.items():
            if name == under_way:
                continue
            assert found[name].version == version
            assert found[name].text.startswith(f"{name} at {version} ")
        unknown = found.keys() - known.keys()
        assert unknown <= {under_way}
        if under_way in found:
            record = found[under_way]
            assert record.version in (known.get(under_way, 0), known.get(under_way, 0) + 1)
            assert record.text.startswith(f"{under_way} at {record.version} ")
        assert {hit.id for hit in store.search_text("memory:ann", "at", 1000)} >= found.keys()
        store.close()


def test_opening_after_a_crash_is_quick(tmp_path: Path):
    """Ten thousand notes, a kill in the middle of a write: the next kernel answers within two seconds."""
    path = tmp_path / "memory.db"
    code = f"""
import os, signal
from aios_kernel.embedding import LexicalEmbedder
from aios_kernel.store import *
store = SQLiteStore({str(path)!r})
hybrid = Hybrid(store, LexicalEmbedder(64))
for start in range(0, 10_000, 500):
    store.put("memory:ann", hybrid.with_vectors([Record(id=str(i), text=f"note {{i}}") for i in range(start, start + 500)]))
store._crash_point = lambda point: os.kill(os.getpid(), signal.SIGKILL)
store.put("memory:ann", [Record(id="late", text="late")])
"""
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == -signal.SIGKILL
    from aios_kernel.embedding import LexicalEmbedder

    began = time.perf_counter()
    kernel = Kernel(managers=[MemoryManager(path, embedder=LexicalEmbedder(64))])
    call: Any = MemoryCall(agent=Agent(name="ann"), verb="retrieve", arguments={"query": "note 77", "k": 3})
    with kernel.syscall(call) as grant:
        found = grant.reply().data["notes"]
    took = time.perf_counter() - began
    kernel.close()
    assert "77" in [note["id"] for note in found]
    assert took < 2


def test_many_processes_write_one_memory(tmp_path: Path):
    """Four processes write at once, two are killed: the notes of all that was acknowledged are there."""
    path = tmp_path / "memory.db"
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", WRITER, str(path), str(seed), "", "0"], stdout=subprocess.PIPE, text=True
        )
        for seed in range(4)
    ]
    said = [""] * 4
    for turn in range(40):
        for at, process in enumerate(processes):
            assert process.stdout is not None
            said[at] += process.stdout.readline()
        if turn == 20:
            processes[0].kill()
            processes[1].kill()
    for at, process in enumerate(processes):
        process.kill()
        assert process.stdout is not None
        said[at] += process.stdout.read()
        process.stdout.close()
        process.wait()
    store = SQLiteStore(path)
    store.check()
    found = {record.id: record.version for record in store.scan("memory:ann")}
    for text in said:
        known, under_way = _replay(text)
        assert known
        assert {name: found.get(name) for name in known if name != under_way} == {
            name: version for name, version in known.items() if name != under_way
        }
    store.close()
