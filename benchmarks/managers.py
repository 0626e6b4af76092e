"""How fast the managers are: writes, searches, what stays in memory, memory per agent, and the journal.

    python benchmarks/managers.py [--json FILE|-] [--quick]

Writes and calls go through a kernel in this process; every write is committed before it is acknowledged. Searches are
among vectors of 384 numbers, 100,000 of them only without `--quick`, against chromadb alone where it is installed.
`--quick` also takes shorter turns.
"""

from __future__ import annotations

import argparse
import gc
import json
import os
import random
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))

import _common as common
import _index
import _journal_load
import _memory
import _storage

from aios_kernel.abi import Agent, MemoryCall, StorageCall
from aios_kernel.kernel import Kernel
from aios_kernel.memory import MemoryManager
from aios_kernel.storage import StorageManager

AGENTS = (1, 50, 250)
ROOM = 40  # notes that a block of the trace has room for
QUERIES = 50
NO_CHROMADB = "chromadb is not installed: pip install 'aios-adapters[chroma]'"


def main() -> int:
    """Measure, and print."""
    args = _arguments()
    if args.held:
        print(json.dumps(_held(args.held, args.agents)))
        return 0
    seconds, many = (1.0, 300) if args.quick else (3.0, 1000)
    records = args.records or ((1000, 10_000) if args.quick else (1000, 10_000, 100_000))
    result: dict[str, Any] = {"machine": common.machine(), "quick": args.quick, "not_run": []}
    if not args.records and args.quick:
        result["not_run"].append("searches among 100,000 records: left out by --quick")
    if not _index.has_chromadb():
        result["not_run"].append(f"searches by chromadb: {NO_CHROMADB}")
    result["writes"] = list(_writes(seconds))
    result["retrieve"] = list(_retrieve(records))
    result["hit_rate"] = _hit_rate()
    result["memory_per_agent"] = [_memory_per_agent(kind, many) for kind in ("memory", "storage")]
    result["journal"] = {
        "cost": _journal_load.cost_per_call(200 if args.quick else 1000),
        "replay": _journal_load.replay_speed(1000 if args.quick else 10_000),
    }
    result["machine"]["load_average_after"] = common.machine()["load_average"]
    if args.json != "-":
        _print(result)
    common.write_json(args.json, result)
    return 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", help="write the result to a file, - for standard output")
    parser.add_argument("--quick", action="store_true", help="no searches among 100,000 records, shorter turns")
    parser.add_argument("--records", type=int, nargs="*", help="among how many to search, in place of 1,000 to 100,000")
    parser.add_argument("--held", help=argparse.SUPPRESS)
    parser.add_argument("--agents", type=int, default=0, help=argparse.SUPPRESS)
    return parser.parse_args()


# Measuring


def _writes(seconds: float) -> Iterator[dict[str, Any]]:
    """What is acknowledged per second, by agents that all write at once."""
    for agents in AGENTS:
        notes = _memory.writes_per_second(agents, seconds=seconds)
        yield _written("memory", agents, notes["writes_per_s"], notes["p90_ms"])
        files = _storage.writes_per_second(agents, seconds=seconds)
        yield _written("storage", agents, files["writes_per_second"], files["p90_ms"])
        calls = _journal_load.recorded_together(agents, seconds=seconds)
        yield _written("journal", agents, calls["calls_per_second"], calls["p90_ms"])


def _written(what: str, agents: int, per_second: float, p90_ms: float) -> dict[str, Any]:
    return {"manager": what, "agents": agents, "per_second": round(per_second, 1), "p90_ms": round(p90_ms, 2)}


def _retrieve(records: tuple[int, ...]) -> Iterator[dict[str, Any]]:
    """Milliseconds per search, by our store, by ours with chromadb as its index, and by chromadb alone."""
    for many in records:
        yield _rounded(_memory.retrieve_latency(many, "sqlite", queries=QUERIES))
        if _index.has_chromadb():
            yield _rounded(_memory.retrieve_latency(many, "chroma", queries=QUERIES))
            yield _rounded(_chromadb_alone(many))


def _rounded(row: dict[str, Any]) -> dict[str, Any]:
    return {name: round(value, 2) if isinstance(value, float) else value for name, value in row.items()}


def _chromadb_alone(records: int) -> dict[str, Any]:
    """The same searches, asked of chromadb itself."""
    dice = random.Random(5)
    chromadb: Any = import_module("chromadb")
    quiet: Any = import_module("chromadb.config").Settings(anonymized_telemetry=False)
    with tempfile.TemporaryDirectory() as folder:
        client = chromadb.PersistentClient(path=folder, settings=quiet)
        inside = client.create_collection(
            "vectors", configuration={"hnsw": {"space": "cosine"}}, embedding_function=None
        )
        begin = time.monotonic()
        for start in range(0, records, 1000):
            some = range(start, min(records, start + 1000))
            texts = [f"word{at % 997} some thing {at}" for at in some]
            inside.add(ids=[f"{at}" for at in some], embeddings=[_vector(dice) for _ in some], documents=texts)
        made = time.monotonic() - begin
        asked = [_vector(dice) for _ in range(QUERIES)]
        inside.query(query_embeddings=[asked[0]], n_results=5)
        took = [_timed(lambda one=one: inside.query(query_embeddings=[one], n_results=5)) for one in asked]
        client.close()
    return {"store": "chromadb alone", "records": records, "vector_ms": statistics.median(took), "made_s": made}


def _vector(dice: random.Random) -> list[float]:
    return [dice.gauss(0, 1) for _ in range(_memory.LENGTH)]


def _timed(work: Callable[[], object]) -> float:
    begin = time.perf_counter()
    work()
    return 1000 * (time.perf_counter() - begin)


def _hit_rate() -> dict[str, Any]:
    """The trace is made up, as it says."""
    trace = _memory.agent_trace()
    rates = {"LRU" if k == 1 else f"LRU-{k}": round(_memory.hit_rate(k, trace, ROOM), 4) for k in (1, 2, 3)}
    how = "synthetic: half of the accesses to the task's own notes, a few of them most; half to notes read once"
    return {"trace": how, "accesses": len(trace), "room": ROOM, "rates": rates}


def _memory_per_agent(kind: str, agents: int) -> dict[str, Any]:
    """What a process grows by, per agent, in a process of its own."""
    if not Path("/proc/self/statm").exists():
        return {"manager": kind, "agents": agents, "kib_per_agent": None, "why": "this system has no /proc"}
    command = [sys.executable, __file__, "--held", kind, "--agents", str(agents)]
    ended = subprocess.run(command, env=common.environment(), stdout=subprocess.PIPE, text=True, check=True)
    return json.loads(ended.stdout)


def _held(kind: str, agents: int) -> dict[str, Any]:
    """Be a process that serves agents, each of which has ten notes, or files, of 200 characters."""
    with tempfile.TemporaryDirectory() as folder:
        store = Path(folder) / "store"
        manager: Any = MemoryManager(store) if kind == "memory" else StorageManager(store, fsync=False)
        kernel = Kernel(managers=[manager])
        _serve(kernel, kind, "the first", 10)  # what is loaded for all of them
        before = _resident()
        for number in range(agents):
            _serve(kernel, kind, f"agent {number}", 10)
        grown = _resident() - before
        kernel.close()
    return {"manager": kind, "agents": agents, "kib_per_agent": round(grown / 1024 / agents, 1)}


def _serve(kernel: Kernel, kind: str, name: str, times: int) -> None:
    for turn in range(times):
        text = f"{name} {turn} ".ljust(200, "x")
        call: Any = (
            MemoryCall(agent=Agent(name=name), verb="add", arguments={"text": text})
            if kind == "memory"
            else StorageCall(agent=Agent(name=name), verb="write", arguments={"path": f"{turn}", "content": text})
        )
        with kernel.syscall(call) as grant:
            grant.reply()


def _resident() -> int:
    """Bytes of this process in memory."""
    gc.collect()
    return int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1]) * os.sysconf("SC_PAGE_SIZE")


# Saying it


def _print(result: dict[str, Any]) -> None:
    common.table(["writes", "agents", "per second", "p90 ms"], [list(row.values()) for row in result["writes"]])
    print()
    rows = [
        [row.get(name, "") for name in ("store", "records", "vector_ms", "words_ms", "made_s")]
        for row in result["retrieve"]
    ]
    common.table(["search", "records", "vector ms", "words ms", "index made in s"], rows)
    print()
    hits = result["hit_rate"]
    common.table(["hits of a block", *hits["rates"]], [[f"room for {hits['room']}", *hits["rates"].values()]])
    print(f"({hits['trace']})\n")
    held = [[row["manager"], row["agents"], row["kib_per_agent"]] for row in result["memory_per_agent"]]
    common.table(["memory of agents with 10 items", "agents", "KiB each"], held)
    print()
    cost, replay = result["journal"]["cost"], result["journal"]["replay"]
    rows = [
        ["a served call without a journal", f"{cost['bare_us']} us"],
        ["recorded, one after another", f"{cost['recorded_us']} us ({cost['recorded_us'] - cost['bare_us']:+.1f})"],
        ["answered from the journal", f"{cost['replayed_us']} us"],
        ["on the disk, each", f"{cost['bytes_per_call']} bytes"],
        [f"replay of {replay['records']} calls", f"{replay['calls_per_second']} a second"],
    ]
    common.table(["journal", ""], rows)
    print()
    for what in result["not_run"]:
        print(f"not run: {what}")
    print(f"load average {result['machine']['load_average_after']} on {os.cpu_count()} CPUs")


if __name__ == "__main__":
    sys.exit(main())
