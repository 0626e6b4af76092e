"""The benchmark of the policies runs, serves everybody and repeats itself."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

BENCHMARK = Path(__file__).resolve().parents[3] / "benchmarks" / "policies.py"


def run(*options: str) -> str:
    """Run the benchmark as its users do."""
    command = [sys.executable, str(BENCHMARK), *options]
    return subprocess.run(command, check=True, capture_output=True, text=True, timeout=60).stdout


def test_the_recorded_workload_tells_policies_apart_and_repeats() -> None:
    """Same seed, same figures; those that know who is urgent or has used little let people wait less than FIFO does."""
    first: dict[str, Any] = json.loads(run("--json"))
    assert first == json.loads(run("--json"))
    for spec in ("priority:interval=10", "wfq", "las:aging=10"):
        assert first[spec]["wait_mean"] < 0.8 * first["fifo"]["wait_mean"]
    assert all(row["finished"] < 1_000 for row in first.values())


def test_the_table_has_a_row_for_each_policy() -> None:
    """The table is Markdown, for the documentation."""
    rows = run().splitlines()
    assert rows[0].startswith("| policy | wait mean |")
    assert len({row.replace("\\|", "").count("|") for row in rows}) == 1
