"""The storage manager under load and under `kill -9`: functions for the benchmarks, and the program that is killed.

python benchmarks/_storage.py [--kills N] [--agents N]
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import random
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))

import _common as common

common.use_checkout()

from aios_kernel.abi import Agent, StorageCall  # noqa: E402
from aios_kernel.errors import AiosError, FileMissing  # noqa: E402
from aios_kernel.kernel import Kernel  # noqa: E402
from aios_kernel.storage import StorageManager  # noqa: E402
from aios_kernel.storage.files import MENDING, POINTS  # noqa: E402

THREADS = 4
FILES = 3  # of each thread
KEEP = 5
OPERATIONS = ("write", "write", "write", "append", "rollback", "delete")


# Load


def writes_per_second(agents: int, *, seconds: float = 3.0, size: int = 500, fsync: bool = True) -> dict[str, float]:
    """How many writes of `size` bytes are acknowledged, each agent in a file of its own, through the kernel."""
    with tempfile.TemporaryDirectory() as folder:
        kernel = Kernel(managers=[StorageManager(folder, fsync=fsync, workers=min(agents, 32))])
        waited: list[float] = []
        end = time.monotonic() + seconds

        def work(number: int) -> None:
            turn = 0
            while (begin := time.monotonic()) < end:
                turn += 1
                content = f"{number} {turn} ".ljust(size, "x")
                arguments = {"path": "notes", "content": content}
                call = StorageCall(agent=Agent(name=f"a{number}"), verb="write", arguments=arguments)
                with kernel.syscall(call) as grant:
                    grant.reply()
                waited.append(time.monotonic() - begin)

        begin = time.monotonic()
        _threads(agents, work)
        took = time.monotonic() - begin
        kernel.close()
        return {
            "agents": agents,
            "writes_per_second": round(len(waited) / took, 1),
            "p50_ms": round(1000 * statistics.median(waited), 2),
            "p90_ms": round(1000 * common.p90(waited), 2),
        }


def opening_seconds(files: int) -> float:
    """How long a store of so many files takes to open after its process was killed."""
    with tempfile.TemporaryDirectory() as folder:
        with closing(StorageManager(folder, fsync=False)) as manager:
            for number in range(files):
                arguments = {"path": f"{number % 100}/{number}", "content": f"file {number}"}
                manager.perform(Agent(name="a"), "write", arguments)
        begin = time.monotonic()
        StorageManager(folder, fsync=False).close()
        return time.monotonic() - begin


# Crashes


class Crashes:
    """Kill writers of one store again and again, and look each time whether everything acknowledged is there."""

    def __init__(self, base: Path, seed: int = 1) -> None:
        self.base = base
        self.random = random.Random(seed)
        # What each file has to be: its version and its content's hash.
        self.state: dict[str, tuple[int, str | None]] = {}
        self.report: dict[str, Any] = {
            "kills": 0,
            "acknowledged": 0,
            "lost": 0,
            "unopenable": 0,
            "duplicated": 0,
            "left_over": 0,
            "recovery_seconds": 0.0,
            "disk_bytes": 0,
            "problems": [],
        }

    def kill_at(self, point: str, count: int = 1) -> None:
        """One round: the writer kills itself when it reaches a named point for the `count`th time.

        Where the point is on the way of putting things in order, a first writer leaves something to be put in order.
        """
        first = ("--at", "committed", "--count", str(count), "--only", "write")
        acknowledged = self._written(*first) if point in MENDING else []
        acknowledged += self._written("--at", point, "--count", str(1 if point in MENDING else count))
        self._verify(acknowledged)

    def kill_after(self, lines: int) -> None:
        """One round: the writer is killed when it has acknowledged so much, wherever it is then."""
        self._verify(self._written(lines=lines))

    def run(self, kills: int) -> dict[str, Any]:
        """Named and random points in turn."""
        points = (*POINTS, *MENDING)
        for number in range(kills):
            if number % 2:
                self.kill_after(self.random.randrange(1, 40))
            else:
                self.kill_at(points[number // 2 % len(points)], self.random.randrange(1, 12))
        return self.report

    def _written(self, *options: str, lines: int | None = None) -> list[dict[str, Any]]:
        """What a writer acknowledged before it was killed."""
        command = [sys.executable, __file__, "--child", str(self.base), "--seed", str(self.random.random()), *options]
        more: dict[str, Any] = {"env": common.environment(), "start_new_session": True}  # it is not stopped by Ctrl-C
        child = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, **more)
        assert child.stdout is not None
        acknowledged: list[dict[str, Any]] = []
        for line in child.stdout:
            if not line.endswith("\n"):
                break  # cut short by the kill: nobody was told
            acknowledged.append(json.loads(line))
            if lines is not None and len(acknowledged) == lines:
                child.kill()
        child.stdout.close()
        ended = child.wait()
        if ended not in {-signal.SIGKILL, 0}:
            self.report["problems"].append(f"the writer ended by itself with {ended}")
        self.report["kills"] += ended == -signal.SIGKILL
        self.report["acknowledged"] += len(acknowledged)
        return acknowledged

    def _verify(self, acknowledged: Sequence[dict[str, Any]]) -> None:
        before = self.state
        told: dict[str, dict[int, str | None]] = {}
        for one in acknowledged:
            told.setdefault(one["path"], {})[one["version"]] = one["sha256"]
        begin = time.monotonic()
        try:
            manager = StorageManager(self.base, fsync=False, keep=KEEP)
        except AiosError as error:
            self.report["unopenable"] += 1
            self.report["problems"].append(f"unopenable: {error}")
            return
        with closing(manager):
            self.report["recovery_seconds"] = max(self.report["recovery_seconds"], time.monotonic() - begin)
            self.state = {}
            for path in sorted({*before, *told}):
                self._verify_file(manager, path, before.get(path, (0, None)), told.get(path, {}))
            self._left_over(manager)
        size = sum(file.stat().st_size for file in self.base.rglob("*") if file.is_file())
        self.report["disk_bytes"] = max(self.report["disk_bytes"], size)

    def _verify_file(
        self, manager: StorageManager, path: str, before: tuple[int, str | None], told: dict[int, str | None]
    ) -> None:
        agent = Agent(name="a")
        last, sha = max(told.items()) if told else before
        try:
            history = manager.perform(agent, "history", {"path": path})
        except FileMissing:
            history = []
        found = {one["version"]: one["sha256"] for one in history}
        newest = max(found, default=0)
        for version in sorted(told):
            if version > newest - KEEP and found.get(version, "none") != told[version]:
                self._lost(f"{path} version {version}: {found.get(version, 'none')}, not {told[version]}")
        # One call of each file's writer may have been under way: done or not, but not more than once.
        if newest < last or (newest == last and found.get(last) != sha):
            self._lost(f"{path} is at {newest}, acknowledged is {last}")
        if newest > last + 1:
            self.report["duplicated"] += 1
            self.report["problems"].append(f"{path} is at {newest}, two behind what was acknowledged, {last}")
        try:
            content = manager.perform(agent, "read", {"path": path})["content"]
            actual = hashlib.sha256(content.encode()).hexdigest()
        except FileMissing:
            actual = None
        if actual != found.get(newest):
            self._lost(f"{path} reads {actual}, its version {newest} is {found.get(newest)}")
        self.state[path] = (newest, found.get(newest))

    def _left_over(self, manager: StorageManager) -> None:
        manager.wait_for_index()
        store = manager.store
        unfinished = list((store.base / "staging").iterdir())
        orphans = set(store.objects) ^ store.records.contents()
        if unfinished or orphans or store.records.pending() or store.records.stale():
            self.report["left_over"] += 1
            self.report["problems"].append(f"left over: {len(unfinished)} unfinished files, {len(orphans)} contents")

    def _lost(self, what: str) -> None:
        self.report["lost"] += 1
        self.report["problems"].append(what)


def _child(base: str, point: str, count: int, seed: str, operations: Sequence[str]) -> None:
    """Write and say so until killed; ends by itself where the point is not reached."""
    reached = 0
    guard = threading.Lock()

    def hook(name: str) -> None:
        nonlocal reached
        if name == point:
            with guard:
                reached += 1
                if reached == count:
                    os.kill(os.getpid(), signal.SIGKILL)

    with closing(StorageManager(base, fsync=False, keep=KEEP, hook=hook)) as manager:

        def work(number: int) -> None:
            _write_on(manager, number, random.Random(f"{seed} {number}"), operations, guard)

        _threads(THREADS, work)


def _write_on(
    manager: StorageManager, number: int, chance: random.Random, operations: Sequence[str], guard: threading.Lock
) -> None:
    agent = Agent(name="a")
    for turn in range(100):
        path = f"{number}/{chance.randrange(FILES)}"
        verb = chance.choice(operations)
        arguments: dict[str, Any] = {"path": path}
        if verb in {"write", "append"}:
            arguments |= {"content": f"{number} {turn % 7} " * chance.randrange(1, 300), "append": verb == "append"}
            if verb == "append":
                arguments["content"] = "+"
            verb = "write"
        try:
            told = manager.perform(agent, verb, arguments)
        except FileMissing:
            continue
        line = json.dumps({"path": path, "version": told["version"], "sha256": told["sha256"]})
        with guard:
            os.write(1, f"{line}\n".encode())


def _threads(count: int, work: Any) -> None:
    threads = [threading.Thread(target=work, args=(number,)) for number in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def measures(agents: Sequence[int]) -> Iterator[dict[str, Any]]:
    """Everything measured, a row at a time."""
    for count in agents:
        yield writes_per_second(count)


def main() -> None:
    """Print what was measured, as JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=0)
    parser.add_argument("--agents", type=int, nargs="*", default=[])
    parser.add_argument("--opening", type=int, nargs="*", default=[])
    parser.add_argument("--child", help=argparse.SUPPRESS)
    parser.add_argument("--at", default="", help=argparse.SUPPRESS)
    parser.add_argument("--count", type=int, default=1, help=argparse.SUPPRESS)
    parser.add_argument("--seed", default="1", help=argparse.SUPPRESS)
    parser.add_argument("--only", default="", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.child:
        _child(args.child, args.at, args.count, args.seed, (args.only,) if args.only else OPERATIONS)
        return
    for row in measures(args.agents):
        print(json.dumps(row))
    for files in args.opening:
        print(json.dumps({"files": files, "opening_seconds": round(opening_seconds(files), 3)}))
    if args.kills:
        with tempfile.TemporaryDirectory() as folder:
            print(json.dumps(Crashes(Path(folder)).run(args.kills)))


if __name__ == "__main__":
    main()
