"""What the benchmarks share: interleaved repeats, summaries with confidence intervals, tables, JSON with the machine."""

from __future__ import annotations

import json
import os
import platform
import random
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from importlib import metadata
from pathlib import Path
from typing import Any, TypeVar

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = [str(ROOT), str(ROOT / "kernel"), str(ROOT / "integrations"), str(ROOT / "evals")]

T = TypeVar("T")


def use_checkout() -> None:
    """Import the packages of this checkout, installed or not."""
    sys.path[:0] = [path for path in PACKAGES if path not in sys.path]


def environment() -> dict[str, str]:
    """Environment for subprocesses that import this checkout's packages."""
    path = os.pathsep.join([*PACKAGES, os.environ.get("PYTHONPATH", "")]).rstrip(os.pathsep)
    return {**os.environ, "PYTHONPATH": path}


def machine() -> dict[str, Any]:
    """Where and with what a run was made."""
    versions = {}
    for name in ("openai", "httpx", "wrapt"):
        with suppress(metadata.PackageNotFoundError):
            versions[name] = metadata.version(name)
    return {
        "python": platform.python_version(),
        "platform": platform.platform(),
        "cpus": os.cpu_count(),
        "load_average": [round(load, 2) for load in os.getloadavg()] if hasattr(os, "getloadavg") else None,
        "time": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
        "versions": versions,
    }


def interleaved(arms: Sequence[str], repeats: int) -> Iterator[tuple[int, str]]:
    """Every arm once per repeat, each time in another order, so that drift hits all alike."""
    for repeat in range(repeats):
        turn = repeat % len(arms)
        for arm in [*arms[turn:], *arms[:turn]]:
            yield repeat, arm


def p90(values: Sequence[float]) -> float:
    """The value that nine tenths do not exceed."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(0.9 * len(ordered)))]


def bootstrap(
    values: Sequence[float],
    statistic: Callable[[Sequence[float]], float] = statistics.median,
    rounds: int = 2000,
    seed: int = 1,
) -> tuple[float, float]:
    """The 95 % confidence interval of a statistic, by resampling."""
    rng = random.Random(seed)
    found = sorted(statistic(rng.choices(values, k=len(values))) for _ in range(rounds))
    return found[int(0.025 * rounds)], found[int(0.975 * rounds)]


def with_interval(values: Sequence[float], digits: int = 2) -> str:
    """Median and interval as text; the median alone for a single value."""
    middle = f"{statistics.median(values):.{digits}f}"
    if len(values) < 2:
        return middle
    low, high = bootstrap(values)
    return f"{middle} [{low:.{digits}f}, {high:.{digits}f}]"


def table(headings: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
    """Print rows under headings, columns aligned."""
    texts = [[str(cell) for cell in row] for row in [headings, *rows]]
    widths = [max(len(row[n]) for row in texts) for n in range(len(headings))]
    for number, row in enumerate(texts):
        print("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())
        if number == 0:
            print("  ".join("-" * width for width in widths))


def write_json(target: str | None, result: dict[str, Any]) -> None:
    """Write a result to a file, to standard output for "-", nowhere for None."""
    if target == "-":
        print(json.dumps(result, indent=1))
    elif target is not None:
        Path(target).write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")


@contextmanager
def endpoint(*options: str) -> Iterator[str]:
    """Run the simulated endpoint in a process of its own; yield its base URL."""
    command = [sys.executable, "-m", "aios_evals.endpoint", *options]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, env=environment(), text=True)
    try:
        if process.stdout is None:
            raise RuntimeError("the endpoint has no output")
        yield json.loads(process.stdout.readline())["base_url"]
    finally:
        process.terminate()
        process.wait()
