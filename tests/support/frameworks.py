"""pytest plugin: runs tests/adapters/FRAMEWORK inside that framework's environments instead of in this one.

One test here is one file there in one environment: `tests/adapters/openai/test_x.py::openai-2`. Each environment runs all
the files asked of it in one process; its failures, counts and lack of tests are reported here.
"""

from __future__ import annotations

import os
import subprocess
import tempfile
import time
import xml.etree.ElementTree as ET
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from tests import envs

TIMEOUT = 900.0  # seconds one environment may take


@dataclass
class InnerRun:
    """What one environment's pytest said: its output and, by file, its cases."""

    output: str
    seconds: float
    cases: dict[str, list[ET.Element]] = field(default_factory=dict[str, "list[ET.Element]"])

    def counts(self, file: str | None = None) -> Counter[str]:
        """Count outcomes, of one file or all."""
        files = [file] if file else list(self.cases)
        return Counter(_outcome(case) for name in files for case in self.cases.get(name, []))


RUNS = pytest.StashKey[dict[str, InnerRun]]()


class InnerFailure(Exception):
    """The tests inside failed; the message is their report."""


class FrameworkDirectory(pytest.Directory):
    """A directory whose tests run elsewhere."""

    def collect(self) -> Iterator[pytest.Collector]:
        for path in sorted(self.path.rglob("test_*.py")):
            yield FrameworkFile.from_parent(self, path=path)


class FrameworkFile(pytest.File):
    """A file whose tests run elsewhere, once in each of its environments. It is not imported here."""

    def collect(self) -> Iterator[pytest.Item]:
        for environment in envs.environments().values():
            if self.path.is_relative_to(environment.tests):
                yield FrameworkItem.from_parent(self, name=environment.name, environment=environment)


class FrameworkItem(pytest.Item):
    """One file's tests in one environment."""

    def __init__(self, *, environment: envs.Environment, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.environment = environment
        self.file = self.path.relative_to(envs.ROOT).as_posix()

    def runtest(self) -> None:
        """Report this file's part of the environment's run, which the first file asking starts."""
        runs = self.config.stash.setdefault(RUNS, {})
        if self.environment.name not in runs:
            runs[self.environment.name] = self._run_environment()
        run = runs[self.environment.name]
        counts = run.counts(self.file)
        if not counts:
            raise InnerFailure(f"no tests ran in {self.environment.name}:\n{run.output}")
        if counts["failed"]:
            raise InnerFailure("\n".join(_report(case) for case in run.cases[self.file]).strip())
        if set(counts) == {"skipped"}:
            pytest.skip(f"all {counts['skipped']} tests inside were skipped")

    def repr_failure(self, excinfo: pytest.ExceptionInfo[BaseException], style: Any = None) -> Any:
        """Show the inner report, not the traceback of this plugin."""
        expected = (InnerFailure, envs.EnvironmentFailed, subprocess.TimeoutExpired)
        return str(excinfo.value) if isinstance(excinfo.value, expected) else super().repr_failure(excinfo, style)

    def reportinfo(self) -> tuple[Path, int | None, str]:
        return self.path, None, f"{self.file}[{self.environment.name}]"

    def _run_environment(self) -> InnerRun:
        """Run every file that this session wants from the environment."""
        items = [item for item in self.session.items if isinstance(item, FrameworkItem)]
        files = [item.file for item in items if item.environment == self.environment]
        marks = ["-m", self.config.option.markexpr] if self.config.option.markexpr else []
        start = time.monotonic()
        with tempfile.TemporaryDirectory() as folder:
            report = Path(folder) / "report.xml"
            options = [
                "-q",
                "-p",
                "no:cacheprovider",
                "--continue-on-collection-errors",
                f"--junit-xml={report}",
                "-o",
                "junit_family=xunit1",
            ]
            done = envs.run(self.environment, [*options, *marks, *files], TIMEOUT)
            cases = _read(report)
        return InnerRun(done.stdout, time.monotonic() - start, cases)


def pytest_collect_directory(path: Path, parent: pytest.Collector) -> pytest.Collector | None:
    """Take over the frameworks' directories, unless this is a framework's environment."""
    if envs.INSIDE in os.environ or path not in {environment.tests for environment in envs.environments().values()}:
        return None
    return FrameworkDirectory.from_parent(parent, path=path)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """List what ran inside each environment."""
    runs = config.stash.get(RUNS, {})
    if runs:
        terminalreporter.section("framework environments")
    for name, run in runs.items():
        counts = ", ".join(f"{count} {outcome}" for outcome, count in sorted(run.counts().items())) or "nothing ran"
        terminalreporter.write_line(f"{name}: {counts} in {run.seconds:.1f}s")


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


def _outcome(case: ET.Element) -> str:
    kinds = {child.tag for child in case}
    return "failed" if kinds & {"failure", "error"} else "skipped" if "skipped" in kinds else "passed"


def _report(case: ET.Element) -> str:
    parts = [f"____ {case.get('name')} ____\n{child.text}" for child in case if child.tag in {"failure", "error"}]
    return "\n".join(parts)
