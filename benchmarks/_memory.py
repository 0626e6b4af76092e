"""The memory manager under load and under `kill -9`: functions for the benchmarks, and the program that is killed.

python benchmarks/_memory.py [--kills N] [--agents N ...] [--records N ...] [--json PATH]
"""

from __future__ import annotations

import argparse
import os
import random
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import closing
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))

import _common as common

common.use_checkout()

from aios_kernel.abi import Agent, MemoryCall  # noqa: E402
from aios_kernel.errors import AiosError  # noqa: E402
from aios_kernel.kernel import Kernel  # noqa: E402
from aios_kernel.memory import LRUK, MemoryManager  # noqa: E402
from aios_kernel.store import Record, SQLiteStore, Store, make_store  # noqa: E402

POINTS = ("", "put: a record written", "put: before commit", "put: after commit", "remove: a record removed")
LENGTH = 384
SPACE = "random"


def _do(kernel: Kernel, agent: str, verb: Any, **arguments: Any) -> Any:
    with kernel.syscall(MemoryCall(agent=Agent(name=agent), verb=verb, arguments=arguments)) as grant:
        return grant.reply().data


# Load


def writes_per_second(agents: int, *, seconds: float = 3.0, size: int = 500) -> dict[str, float]:
    """How many notes of `size` characters are acknowledged, embedded by spelling, through the kernel."""
    with tempfile.TemporaryDirectory() as folder:
        kernel = Kernel(managers=[MemoryManager(Path(folder) / "m.db", workers=min(agents, 32))])
        waited: list[float] = []
        end = time.monotonic() + seconds

        def work(number: int) -> None:
            words = [f"word{(number * 31 + at) % 997}" for at in range(size // 8)]
            while (begin := time.monotonic()) < end:
                _do(kernel, f"a{number}", "add", text=" ".join(words))
                waited.append(time.monotonic() - begin)

        threads = [threading.Thread(target=work, args=(number,)) for number in range(agents)]
        began = time.monotonic()
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        took = time.monotonic() - began
        kernel.close()
    return {"agents": agents, "writes_per_s": len(waited) / took, "p90_ms": 1000 * common.p90(waited)}


def retrieve_latency(records: int, kind: str = "sqlite", *, queries: int = 50) -> dict[str, Any]:
    """Milliseconds per search by vector of 384 numbers and by words, in one agent's records."""
    random_ = random.Random(5)
    with tempfile.TemporaryDirectory() as folder, closing(make_store(f"{kind}:{folder}/m.db")) as store:
        _fill(store, records, random_)
        vectors = [_vector(random_) for _ in range(queries)]
        store.search_vector("c", SPACE, vectors[0], 5)
        if kind == "chroma":
            began = time.monotonic()
            store.wait()  # type: ignore[attr-defined]
            made = time.monotonic() - began
        found = [_timed(lambda v=v: store.search_vector("c", SPACE, v, 5)) for v in vectors]
        words = [_timed(lambda at=at: store.search_text("c", f"word{at} thing", 5)) for at in range(queries)]
        row = {
            "store": kind,
            "records": records,
            "vector_ms": statistics.median(found),
            "words_ms": statistics.median(words),
        }
        return {**row, "made_s": made} if kind == "chroma" else row


def _fill(store: Store, records: int, random_: random.Random) -> None:
    for start in range(0, records, 1000):
        store.put(
            "c",
            [
                Record(id=f"{at}", text=f"word{at % 997} some thing {at}", vector=_vector(random_), space=SPACE)
                for at in range(start, min(records, start + 1000))
            ],
        )


def _vector(random_: random.Random) -> tuple[float, ...]:
    return tuple(random_.gauss(0, 1) for _ in range(LENGTH))


def _timed(work: Any) -> float:
    began = time.perf_counter()
    work()
    return 1000 * (time.perf_counter() - began)


def hit_rate(k: int, trace: list[int], room: int) -> float:
    """Share of a trace's accesses that find their item in memory, with room for so many."""
    lru, there, hits = LRUK(k), set[Any](), 0
    for item in trace:
        hits += item in there
        there.add(item)
        lru.touch(item)
        if len(there) > room:
            there.discard(lru.put_out(keep=item))
    return hits / len(trace)


def agent_trace(accesses: int = 20_000, seed: int = 1) -> list[int]:
    """What an agent asks of its notes: a few in every step, many once, drifting from task to task."""
    random_ = random.Random(seed)
    trace: list[int] = []
    for at in range(accesses):
        task = at // 2000
        if random_.random() < 0.5:
            trace.append(1000 * task + int(random_.paretovariate(1.0)) % 60)  # the task's own, a few of them most
        else:
            trace.append(1_000_000 + at)  # read once: search results, page after page
    return trace


# Kills


def crash(kills: int, seed: int = 0) -> dict[str, Any]:
    """Kill a writer again and again over one file; count what was acknowledged and is not there, or is there twice."""
    lost = unopenable = duplicated = acknowledged = 0
    slowest = 0.0
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "m.db"
        for turn in range(kills):
            point = POINTS[turn % len(POINTS)]
            known, under_way = _killed(path, seed * 1_000_000 + turn, point)
            acknowledged += len(known)
            began = time.perf_counter()
            try:
                store = SQLiteStore(path)
                found = [
                    (r.id, r.version)
                    for r in store.scan("memory:ann")
                    if r.id.startswith(f"{seed * 1_000_000 + turn}-")
                ]
                slowest = max(slowest, time.perf_counter() - began)
                if turn % 50 == 0:
                    store.check()
                store.close()
            except AiosError:
                unopenable += 1
                continue
            there = dict(found)
            duplicated += len(found) - len(there)
            lost += sum(there.get(name) != version for name, version in known.items() if name != under_way)
        size = path.stat().st_size
    return {
        "kills": kills,
        "acknowledged": acknowledged,
        "lost": lost,
        "unopenable": unopenable,
        "duplicated": duplicated,
        "slowest_open_s": slowest,
        "bytes": size,
    }


def _killed(path: Path, seed: int, point: str) -> tuple[dict[str, int], str]:
    random_ = random.Random(seed)
    process = subprocess.Popen(
        [sys.executable, __file__, "--write", str(path), str(seed), point, str(random_.randrange(30))],
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    said = ""
    if not point:
        for _ in range(random_.randrange(2, 60)):
            said += process.stdout.readline()
        time.sleep(random_.random() / 100)
        process.kill()
    said += process.stdout.read()
    process.wait()
    process.stdout.close()
    known: dict[str, int] = {}
    under_way = ""
    for line in said.splitlines():
        sign, name, version = (line[0], *line[1:].split())
        under_way = name if sign == "+" else ""
        if sign == "=" and int(version):
            known[name] = int(version)
        elif sign == "=":
            known.pop(name, None)
    return known, under_way


def write(path: str, seed: int, point: str, after: int) -> None:
    """Write until killed; say each write before it is made ("+") and when it was acknowledged ("=", version 0: removed)."""
    seen = 0

    def crash_point(name: str) -> None:
        nonlocal seen
        seen += name == point
        if point and seen > after:
            os.kill(os.getpid(), signal.SIGKILL)

    random_ = random.Random(seed)
    kernel = Kernel(managers=[MemoryManager(SQLiteStore(path, crash_point=crash_point), budget=5000)])
    versions: dict[str, int] = {}
    while True:
        name = f"{seed}-{random_.randrange(30)}"
        at = 0 if name in versions and random_.random() < 0.2 else versions.get(name, 0) + 1
        print(f"+{name} {at}", flush=True)
        if at == 0:
            _do(kernel, "ann", "remove", id=name)
            del versions[name]
        else:
            _do(kernel, "ann", "add" if at == 1 else "update", id=name, text="x" * random_.randrange(500))
            versions[name] = at
        print(f"={name} {at}", flush=True)


def main() -> None:
    """Measure, and print."""
    if sys.argv[1:2] == ["--write"]:
        write(sys.argv[2], int(sys.argv[3]), sys.argv[4], int(sys.argv[5]))
        return
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--agents", type=int, nargs="*", default=[1, 50, 250])
    parser.add_argument("--records", type=int, nargs="*", default=[1000, 10_000])
    parser.add_argument("--stores", nargs="*", default=["sqlite"], help="sqlite, chroma")
    parser.add_argument("--json")
    args = parser.parse_args()
    writes = [writes_per_second(agents) for agents in args.agents]
    common.table(("agents", "writes/s", "p90 ms"), [[f"{value:.1f}" for value in row.values()] for row in writes])
    found = [retrieve_latency(records, kind) for records in args.records for kind in args.stores]
    common.table(
        ("store", "records", "vector ms", "words ms"),
        [[row["store"], row["records"], f"{row['vector_ms']:.2f}", f"{row['words_ms']:.2f}"] for row in found],
    )
    trace = agent_trace()
    hits = {f"LRU-{k}": hit_rate(k, trace, 40) for k in (1, 2, 3)}
    common.table(tuple(hits), [[f"{value:.3f}" for value in hits.values()]])
    killed = crash(args.kills)
    common.table(tuple(killed), [list(killed.values())])
    common.write_json(args.json, {"writes": writes, "retrieve": found, "hit_rate": hits, "crash": killed})


if __name__ == "__main__":
    main()
