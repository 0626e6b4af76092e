"""pytest plugin: runs tests/adapters/FRAMEWORK, and the integrations', inside their own environments instead of in this one.

One test here is one file there in one environment: `tests/adapters/openai/test_x.py::openai-3`. Each environment runs all
the files asked of it in one process, two environments at once (AIOS_TEST_JOBS), before the first of these tests ends; their
failures, counts and lack of tests are reported here. The versions between the oldest and the newest want --all-versions.
"""

from __future__ import annotations

import os
import subprocess
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from _pytest import nodes

from tests import envs
from tests.support.inner import InnerRun, run_all

RUNS = pytest.StashKey[dict[str, InnerRun]]()


class InnerFailure(Exception):
    """The tests inside failed; the message is their report."""


class FrameworkDirectory(nodes.FSCollector):
    """A directory whose tests run elsewhere. It is no `pytest.Directory`, whose conftest.py would be imported here."""

    def collect(self) -> Iterator[pytest.Collector]:
        for path in sorted(self.path.rglob("test_*.py")):
            yield FrameworkFile.from_parent(self, path=path)


class FrameworkFile(pytest.File):
    """A file whose tests run elsewhere, once in each of its environments. It is not imported here."""

    def collect(self) -> Iterator[pytest.Item]:
        everything = self.config.getoption("--all-versions", default=False)
        for environment in envs.environments().values():
            if any(map(self.path.is_relative_to, environment.tests)) and (environment.ci or everything):
                yield FrameworkItem.from_parent(self, name=environment.name, environment=environment)


class FrameworkItem(pytest.Item):
    """One file's tests in one environment."""

    def __init__(self, *, environment: envs.Environment, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.environment = environment
        self.file = self.path.relative_to(envs.ROOT).as_posix()

    def runtest(self) -> None:
        """Report this file's part of the environment's run, which the first file asking starts."""
        if not self.environment.fits:
            pytest.skip(f"it supports Python {self.environment.supports}")
        if RUNS not in self.config.stash:
            self.config.stash[RUNS] = _run_environments(self.session)
        run = self.config.stash[RUNS][self.environment.name]
        if run.trouble is not None:
            raise run.trouble
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


def _run_environments(session: pytest.Session) -> dict[str, InnerRun]:
    """Run every environment with the files that this session wants from it, several environments at once."""
    config = session.config
    marks = ["-m", config.option.markexpr] if config.option.markexpr else []
    wanted: dict[str, list[str]] = {}
    for item in session.items:
        if isinstance(item, FrameworkItem) and item.environment.fits:
            wanted.setdefault(item.environment.name, list(marks)).append(item.file)
    return run_all(wanted, lambda name, run: None)


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the choice between the versions that CI runs and all of them."""
    parser.addoption("--all-versions", action="store_true", help="also the versions between the oldest and the newest")


def pytest_collect_directory(path: Path, parent: pytest.Collector) -> pytest.Collector | None:
    """Take over the directories that have environments, unless this is one of those."""
    taken = {folder for environment in envs.environments().values() for folder in environment.tests}
    if envs.INSIDE in os.environ or path not in taken:
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


def _report(case: ET.Element) -> str:
    parts = [f"____ {case.get('name')} ____\n{child.text}" for child in case if child.tag in {"failure", "error"}]
    return "\n".join(parts)
