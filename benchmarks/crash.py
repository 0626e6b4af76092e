"""Kill -9 across journal, memory, files and indexes: what was acknowledged and is lost, or has happened twice.

    python benchmarks/crash.py [--kills N] [--json FILE|-] [--quick] [--records N]

Each part is a program that writes to one store and says what was acknowledged, killed by turns at a named point and
anywhere, and looked at after each kill. Also: the time until a store of 10,000 records answers after a kill, and what
becomes of a damaged chromadb folder. `--quick` takes 40 kills and 1,000 records. Ctrl-C ends after the kill under way,
with what was measured; twice, at once.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))

import _common as common
import _index
import _journal
import _kills
import _memory
import _recovery
import _storage

GOAL_SECONDS = 2.0
IDLE = 50  # rounds without a kill: the writer does not get as far as it should


class Files(_storage.Crashes):
    """The files' part, a round at a time."""

    def __init__(self, base: Path, seed: int = 1) -> None:
        super().__init__(base, seed)
        self.sizes: list[tuple[int, int]] = []
        self._turn = 0

    def step(self) -> None:
        """A named point, or anywhere."""
        points = (*_storage.POINTS, *_storage.MENDING)
        self._turn += 1
        if self._turn % 2:
            self.kill_at(points[self._turn // 2 % len(points)], self.random.randrange(1, 12))
        else:
            self.kill_after(self.random.randrange(1, 40))
        live = sum(sha is not None for _, sha in self.state.values())
        self.sizes.append((live, _kills.size_of(self.base)))


PARTS: dict[str, Callable[[Path], Any]] = {
    "journal": _journal.Crashes,
    "memory": _memory.Crashes,
    "files": Files,
    "index": _index.Crashes,
}


class Stop:
    """Whether Ctrl-C was pressed; a second one interrupts as ever."""

    def __init__(self) -> None:
        self.pressed = False
        signal.signal(signal.SIGINT, self._press)

    def __call__(self) -> bool:
        """Whether to stop."""
        return self.pressed

    def _press(self, *_: object) -> None:
        self.pressed = True
        signal.signal(signal.SIGINT, signal.default_int_handler)
        print("\nstopping after this kill; Ctrl-C again stops at once", file=sys.stderr)


def main() -> int:
    """Kill, look, print, and say whether nothing was lost."""
    args = _arguments()
    result: dict[str, Any] = {"machine": common.machine(), "asked_kills": args.kills, "complete": False, "parts": {}}
    stop = Stop()
    try:
        _measure(result, args, stop)
    except KeyboardInterrupt:
        print("\ninterrupted", file=sys.stderr)
    _sum(result)
    result["complete"] = not stop() and "recovery" in result and result["kills"] >= args.kills
    result["machine"]["load_average_after"] = common.machine()["load_average"]
    _print(result, quiet=args.json == "-")
    common.write_json(args.json, result)
    return 0 if result["passed"] and result["complete"] else 1


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, help="how many, over all parts (default 1000; 40 with --quick)")
    parser.add_argument("--json", help="write the result to a file, - for standard output")
    parser.add_argument("--quick", action="store_true", help="40 kills, 1,000 records")
    parser.add_argument(
        "--records", type=int, help="what a store holds that recovers (default 10,000; 1,000 with --quick)"
    )
    args = parser.parse_args()
    args.kills = args.kills if args.kills is not None else 40 if args.quick else 1000
    args.records = args.records or (1000 if args.quick else 10_000)
    return args


# Measuring


def _measure(result: dict[str, Any], args: argparse.Namespace, stop: Stop) -> None:
    with tempfile.TemporaryDirectory() as folder:
        for number, (name, make) in enumerate(PARTS.items()):
            (base := Path(folder) / name).mkdir()
            part = make(base)
            wanted = args.kills // len(PARTS) + (number < args.kills % len(PARTS))
            result["parts"][name] = part.report
            try:
                _kill(part, name, wanted, stop)
            finally:
                part.report["disk_growth"] = _kills.growth(part.sizes)
            if stop():
                return
    recovery: dict[str, Any] = {"records": args.records, "goal_seconds": GOAL_SECONDS, "seconds": {}, "problems": []}
    result["recovery"] = recovery
    for name in _recovery.PARTS:
        _progress(f"recovery of {name}, {args.records} records")
        try:
            recovery["seconds"][name] = round(_recovery.seconds(name, args.records), 3)
        except RuntimeError as error:
            recovery["seconds"][name] = None
            recovery["problems"].append(str(error))
        if stop():
            return
    _progress("a damaged chromadb folder")
    result["damaged_chroma"] = _index.damaged()
    _progress("")


def _kill(part: Any, name: str, wanted: int, stop: Stop) -> None:
    idle, begin = 0, time.monotonic()
    while part.report["kills"] < wanted and idle < IDLE and not stop():
        before = part.report["kills"]
        part.step()
        idle = 0 if part.report["kills"] > before else idle + 1
        _progress(f"{name}: {part.report['kills']} of {wanted} kills, {len(part.report['problems'])} problems")
    if idle == IDLE:
        part.report["problems"].append(f"only {part.report['kills']} of {wanted} kills: the writer ends before them")
    getattr(part, "finish", lambda: None)()
    part.report["seconds"] = round(time.monotonic() - begin, 1)


def _progress(text: str) -> None:
    if sys.stderr.isatty():
        print(f"\r\033[K{text}", end="", file=sys.stderr, flush=True)


# Saying it


def _sum(result: dict[str, Any]) -> None:
    parts = result["parts"].values()
    for what in ("kills", "acknowledged", "lost", "unopenable", "duplicated"):
        result[what] = sum(part[what] for part in parts)
    recovery = result.get("recovery", {}).get("seconds", {})
    chroma = result.get("damaged_chroma", {})
    result["passed"] = (
        not any(part["problems"] for part in parts)
        and not result["lost"] + result["unopenable"] + result["duplicated"]
        and not any(part.get("disk_growth", {}).get("bounded") is False for part in parts)
        and all(took is not None and took < GOAL_SECONDS for took in recovery.values())
        and (not chroma.get("ran") or all(chroma["rebuilt"].values()))
    )


def _print(result: dict[str, Any], *, quiet: bool) -> None:
    if quiet:
        return
    recovery = result.get("recovery", {"seconds": {}})
    rows: list[list[Any]] = []
    for name, part in [*result["parts"].items(), ("all", result)]:
        counted = [part[what] for what in ("kills", "acknowledged", "lost", "unopenable", "duplicated")]
        grown = part.get("disk_growth", {})
        per = (
            f"{grown['bytes_per_record_early']} -> {grown['bytes_per_record_late']}"
            if grown.get("bounded") is not None
            else ""
        )
        rows.append([name, *counted, recovery["seconds"].get(name, ""), per])
    many = f"s to recover {recovery['records']} records" if "records" in recovery else "s to recover"
    common.table(["part", "kills", "acknowledged", "lost", "unopenable", "duplicated", many, "bytes/record"], rows)
    journal = result["parts"].get("journal")
    if journal:
        print(
            f"journal: {journal['repeated_unacknowledged']} calls or effects happened once more because nobody had been told "
            f"of them when the process died"
        )
    index = result["parts"].get("index")
    if index and "chroma" not in index["kinds"]:
        print("index: chromadb was not killed, it is not installed: pip install 'aios-adapters[chroma]'")
    chroma = result.get("damaged_chroma", {"ran": False, "why": "not reached"})
    ways = ", ".join(
        f"{way}: {'made anew' if well else 'NOT made anew'}" for way, well in chroma.get("rebuilt", {}).items()
    )
    print(f"damaged chromadb folder: {ways or 'not run: ' + chroma['why']}")
    for name, part in result["parts"].items():
        for problem in part["problems"][:5]:
            print(f"{name}: {problem}")
    for problem in recovery.get("problems", []):
        print(problem)
    if not result["complete"]:
        print(f"stopped early: {result['kills']} of {result['asked_kills']} kills")
    print(f"load average {result['machine']['load_average_after']} on {os.cpu_count()} CPUs")


if __name__ == "__main__":
    sys.exit(main())
