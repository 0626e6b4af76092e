"""The memory manager under load and under `kill -9`: functions for the benchmarks, and the program that is killed.

python benchmarks/_memory.py [--kills N] [--agents N ...] [--records N ...] [--json PATH]
"""

from __future__ import annotations

import argparse
import os
import random
import signal
import sqlite3
import statistics
import sys
import tempfile
import threading
import time
from contextlib import closing
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))

import _common as common
import _kills

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


class Crashes:
    """Kill a writer again and again over one file; count what was acknowledged and is not there, or is there twice."""

    def __init__(self, base: Path, seed: int = 0) -> None:
        self.base, self.path, self.random = base, base / "m.db", random.Random(seed)
        self.report: dict[str, Any] = _kills.new_report()
        self.sizes: list[tuple[int, int]] = []
        self.known: dict[str, int] = {}  # what each note has to be: its version
        self._turn = 0

    def step(self) -> None:
        """One writer, killed at a named point or anywhere."""
        point, seed = POINTS[self._turn % len(POINTS)], self.random.randrange(1 << 30)
        self._turn += 1
        wait: dict[str, Any] = (
            {} if point else {"lines": self.random.randrange(2, 60), "pause": self.random.random() / 100}
        )
        after = self.random.randrange(30)
        said, code, error = _kills.run_until_killed(__file__, "--write", self.path, seed, point, after, **wait)
        _kills.was_killed(self.report, code, error)
        under_way = ("", 0)
        for line in said:
            sign, name, version = (line[0], *line[1:].split())
            under_way = (name, int(version)) if sign == "+" else ("", 0)
            self.report["acknowledged"] += sign == "="
            if sign == "=" and int(version):
                self.known[name] = int(version)
            elif sign == "=":
                self.known.pop(name, None)
        self._look(under_way)

    def _look(self, under_way: tuple[str, int]) -> None:
        began = time.perf_counter()
        try:
            with closing(SQLiteStore(self.path)) as store:
                store.count("memory:ann")
                took = time.perf_counter() - began
                self.report["recovery_seconds"] = max(self.report["recovery_seconds"], took)
                if self._turn % 50 == 1:
                    store.check()
                records = store.scan("memory:ann")
        except (AiosError, sqlite3.Error) as error:
            self._problem("unopenable", f"unopenable: {error}")
            return
        found = {record.id: record.version for record in records}
        if len(found) < len(records):
            self._problem("duplicated", "a note is there twice")
        for name in sorted(found.keys() | self.known.keys()):
            has, told = found.get(name, 0), self.known.get(name, 0)
            # A write that was under way is there or not, but not twice; a removal leaves nothing.
            if has != told and (name, has) != under_way:
                kind = "duplicated" if has > told else "lost"
                self._problem(kind, f"{name} is at version {has}, acknowledged is {told}")
        for record in records:
            if not record.text.startswith(f"{record.id} at {record.version} "):
                self._problem("lost", f"{record.id} at {record.version} reads {record.text[:30]!r}")
        self.known = found
        size = _kills.size_of(self.base)
        self.sizes.append((len(found), size))
        self.report["disk_bytes"] = max(self.report["disk_bytes"], size)

    def _problem(self, kind: str, what: str) -> None:
        self.report[kind] += 1
        self.report["problems"].append(what)


def write(path: str, seed: int, point: str, after: int) -> None:
    """Write until killed; say each write before it is made ("+") and when it was acknowledged ("=", version 0: removed)."""
    seen = 0

    def crash_point(name: str) -> None:
        nonlocal seen
        seen += name == point
        if point and seen > after:
            os.kill(os.getpid(), signal.SIGKILL)

    random_ = random.Random(seed)
    store = SQLiteStore(path, crash_point=crash_point)
    kernel = Kernel(managers=[MemoryManager(store, budget=5000)])
    versions = {record.id: record.version for record in store.scan("memory:ann")}
    while True:
        name = f"n{random_.randrange(60)}"
        at = 0 if name in versions and random_.random() < 0.2 else versions.get(name, 0) + 1
        print(f"+{name} {at}", flush=True)
        if at == 0:
            _do(kernel, "ann", "remove", id=name)
            del versions[name]
        else:
            text = f"{name} at {at} {'x' * random_.randrange(500)}"
            _do(kernel, "ann", "add" if at == 1 else "update", id=name, text=text)
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
    with tempfile.TemporaryDirectory() as folder:
        crashes = Crashes(Path(folder))
        for _ in range(args.kills):
            crashes.step()
    killed = {**crashes.report, "problems": len(crashes.report["problems"])}
    common.table(tuple(killed), [list(killed.values())])
    common.write_json(args.json, {"writes": writes, "retrieve": found, "hit_rate": hits, "crash": killed})


if __name__ == "__main__":
    main()
