"""Run the tests of one framework environment and read what their report says; several environments run side by side."""

from __future__ import annotations

import os
import subprocess
import tempfile
import time
import xml.etree.ElementTree as ET
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass, field
from pathlib import Path

from tests import envs

__all__ = ["JOBS", "InnerRun", "outcome", "run_all", "run_inner"]

TIMEOUT = 1800.0  # seconds one environment may take
JOBS = int(os.environ.get("AIOS_TEST_JOBS") or min(2, os.cpu_count() or 1))
_OPTIONS = ("-q", "-p", "no:cacheprovider", "--continue-on-collection-errors", "-o", "junit_family=xunit1")


@dataclass
class InnerRun:
    """What one environment's pytest said: its output and, by file, its cases. `trouble` is why it did not run at all."""

    output: str
    seconds: float
    cases: dict[str, list[ET.Element]] = field(default_factory=dict[str, "list[ET.Element]"])
    trouble: Exception | None = None

    def counts(self, file: str | None = None) -> Counter[str]:
        """Count outcomes, of one file or all."""
        files = [file] if file else list(self.cases)
        return Counter(outcome(case) for name in files for case in self.cases.get(name, []))

    def shown(self) -> dict[str, Counter[str]]:
        """Count outcomes by the column that a test says it shows."""
        columns: dict[str, Counter[str]] = {}
        for case in (case for cases in self.cases.values() for case in cases):
            for column in {p.get("value", "") for p in case.iter("property") if p.get("name") == "shows"}:
                columns.setdefault(column, Counter())[outcome(case)] += 1
        return columns


def run_inner(environment: envs.Environment, arguments: Sequence[str]) -> InnerRun:
    """Build the environment if need be and run its tests; what keeps them from running is part of the answer."""
    start = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.xml"
        try:
            done = envs.run(environment, [*_OPTIONS, f"--junit-xml={report}", *arguments], TIMEOUT)
        except (envs.EnvironmentFailed, subprocess.TimeoutExpired) as error:
            return InnerRun(str(error), time.monotonic() - start, trouble=error)
        return InnerRun(done.stdout, time.monotonic() - start, _read(report))


def run_all(
    wanted: Mapping[str, Sequence[str]], told: Callable[[str, InnerRun], None], jobs: int = JOBS
) -> dict[str, InnerRun]:
    """Run several environments by name with their arguments, `jobs` at once; `told` hears of each that is done."""
    table = envs.environments()
    runs: dict[str, InnerRun] = {}
    with ThreadPoolExecutor(jobs) as pool:
        futures = {pool.submit(run_inner, table[name], arguments): name for name, arguments in wanted.items()}
        try:
            for future in as_completed(futures):
                runs[futures[future]] = future.result()
                told(futures[future], future.result())
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise
    return runs


def outcome(case: ET.Element) -> str:
    """Say how one test ended: failed, skipped or passed."""
    kinds = {child.tag for child in case}
    return "failed" if kinds & {"failure", "error"} else "skipped" if "skipped" in kinds else "passed"


def _read(report: Path) -> dict[str, list[ET.Element]]:
    """Read the cases of a report by file. A file that cannot be imported has a case without one, named after it."""
    cases: dict[str, list[ET.Element]] = {}
    if report.exists():
        for case in ET.parse(report).iter("testcase"):
            cases.setdefault(_file_of(case), []).append(case)
    return cases


def _file_of(case: ET.Element) -> str:
    """The file that a case was collected from; its attribute `file` would be that of an inherited test's base class."""
    parts = case.get("classname", "").split(".")
    for end in range(len(parts), 0, -1):
        file = "/".join(parts[:end]) + ".py"
        if (envs.ROOT / file).is_file():
            return file
    return case.get("file") or case.get("name", "").replace(".", "/") + ".py"
