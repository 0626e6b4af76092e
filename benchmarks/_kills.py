"""What the parts of the crash harness share: a process that is killed while it writes, and what is counted."""

from __future__ import annotations

import signal
import statistics
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import _common as common

SLACK = 1 << 20  # logs and pages that SQLite keeps for itself
GROWTH = 1.5


def new_report() -> dict[str, Any]:
    """Nothing killed yet, nothing lost."""
    return {
        "kills": 0,
        "acknowledged": 0,
        "lost": 0,
        "unopenable": 0,
        "duplicated": 0,
        "recovery_seconds": 0.0,
        "disk_bytes": 0,
        "problems": [],
    }


def run_until_killed(
    script: str, *options: object, lines: int | None = None, pause: float = 0.0
) -> tuple[list[str], int, str]:
    """The whole lines that a writer said before it was killed, its exit status, and what it said of errors.

    It kills itself, or is killed `pause` seconds after it has said so many `lines`.
    """
    # In a session of its own, so that Ctrl-C stops the harness and not what it looks at.
    with subprocess.Popen(
        [sys.executable, script, *map(str, options)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=common.environment(),
        start_new_session=True,
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        said: list[str] = []
        try:
            if lines is not None:
                for line in process.stdout:
                    said.append(line)
                    if len(said) >= lines:
                        time.sleep(pause)
                        process.kill()
                        break
            said += process.stdout.readlines()
            error = process.stderr.read()
        finally:
            process.kill()
    return [line.rstrip("\n") for line in said if line.endswith("\n")], process.returncode, error


def was_killed(report: dict[str, Any], code: int, error: str) -> bool:
    """Count a writer's end; one that ended by an error is a problem, and so is a store that it could not open."""
    report["kills"] += code == -signal.SIGKILL
    if code not in {0, -signal.SIGKILL}:
        last = error.strip().splitlines()[-1] if error.strip() else f"exit status {code}"
        report["unopenable" if "cannot be opened" in error or "DatabaseError" in error else "lost"] += 1
        report["problems"].append(f"the writer ended by itself: {last}")
    return code == -signal.SIGKILL


def size_of(folder: Path) -> int:
    """The bytes of all files in a folder."""
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())


def growth(sizes: Sequence[tuple[int, int]]) -> dict[str, Any]:
    """Whether the disk holds no more for each live record late than early: (live records, bytes) after each kill."""
    if len(sizes) < 4:
        return {"bounded": None, "why": "too few kills to tell"}
    half = len(sizes) // 2
    early = statistics.median(size / max(live, 1) for live, size in sizes[half // 2 : half])
    late = statistics.median(size / max(live, 1) for live, size in sizes[half + half // 2 :])
    live = statistics.median(live for live, _ in sizes[half:])
    return {
        "bounded": late * live <= GROWTH * early * live + SLACK,
        "bytes_per_record_early": round(early),
        "bytes_per_record_late": round(late),
    }
