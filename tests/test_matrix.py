"""The matrix of frameworks: cells from reports, and pages that are made from the present version table."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from aios_adapters import versions as supported_versions
from tests import envs, matrix
from tests.support import supported
from tests.support.columns import COLUMNS, LEASE, MEMORY, STREAM
from tests.support.inner import run_inner

TESTS = """
import pytest
from tests.support.columns import LEASE, MEMORY, STREAM
@pytest.mark.shows(LEASE)
def test_good(): pass
@pytest.mark.shows(LEASE, STREAM)
def test_wrong(): assert 0
@pytest.mark.shows(MEMORY)
class TestMemory:
    def test_a(self): pass
    @pytest.mark.skip
    def test_b(self): pass
"""


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """One made-up framework in two versions whose environment is this interpreter; the second fails to build."""
    (tmp_path / "test_x.py").write_text(TESTS)
    (tmp_path / "conftest.py").write_text("from tests.conftest import pytest_collection_modifyitems, pytest_configure")
    (tmp_path / "pytest.ini").write_text(
        "[pytest]\nmarkers = shows(column)\nasyncio_default_fixture_loop_scope = function"
    )
    versions = (
        supported_versions.Tested(name="good", version="1", packages=()),
        supported_versions.Tested(name="gone", version="2", packages=(), ci=False),
    )
    row = supported_versions.Framework(
        adapter="x", title="X", distributions=("x",), minimum="1", tests="x", versions=versions
    )

    def build(environment: envs.Environment) -> Path:
        if environment.name == "gone":
            raise envs.EnvironmentFailed("nothing to resolve")
        return Path(sys.executable)

    monkeypatch.setattr(matrix, "TABLE", (row,))
    monkeypatch.setattr(matrix, "PAGE", tmp_path / "matrix.md")
    monkeypatch.setattr(envs, "build", build)
    monkeypatch.setattr(
        envs, "environments", lambda: {v.name: envs.Environment(v.name, (tmp_path,), ()) for v in versions}
    )
    monkeypatch.setattr(envs, "cache_root", lambda: tmp_path / "cache")
    return tmp_path


def test_cells_are_what_the_tests_showed(project: Path) -> None:
    """A column is ok when what shows it passed, FAILED when one did not, and - when nothing ran for it."""
    run = run_inner(envs.environments()["good"], [str(project)])
    row = matrix.TABLE[0]
    result = matrix.result_of(row, row.versions[0], run)
    assert {c: v for c, v in result.cells.items() if v != "-"} == {LEASE: "FAILED", STREAM: "FAILED", MEMORY: "ok"}
    assert (result.passed, result.failed, result.skipped, result.good) == (2, 1, 1, False)


def test_the_command_runs_and_tells_and_keeps(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """One run of the oldest and newest; the page waits until every version has a result."""
    assert matrix.main(["--docs", "--json", str(project / "out.json")]) == 1
    out, err = capsys.readouterr()
    assert "[1/1" in err
    assert "no result for gone" in err
    assert "FAILED" in out.splitlines()[1]
    assert '"environment": "good"' in (project / "out.json").read_text()
    assert matrix.main(["--only", "gone", "--docs"]) == 1
    assert "nothing to resolve" in capsys.readouterr().err
    written = (project / "matrix.md").read_text()
    assert written.count("| X |") == 2
    assert written.count("FAILED |") == 2 + len(COLUMNS), "what cannot even be built shows nothing"
    assert matrix.stamp() in written
    with pytest.raises(SystemExit):
        matrix.main(["--only", "no-such"])


def test_the_page_was_made_from_the_present_version_table() -> None:
    """docs/matrix.md has a line for every row, in order, and nothing that was not generated."""
    page = (envs.ROOT / "docs" / "matrix.md").read_text()
    assert page.rstrip().endswith(matrix.stamp()), "run `python -m tests.matrix --all --docs`"
    lines = [line.strip("| ").split(" | ") for line in page.splitlines() if line.count(" | ") == len(COLUMNS) + 1]
    results = [
        matrix.Result("", cells[0], cells[1], dict(zip(COLUMNS, cells[2:], strict=True)), 0, 0, 0, 0.0)
        for cells in lines[2:]
    ]
    assert [(result.framework, result.version) for result in results] == [
        (row.title, one.version) for row in supported_versions.TABLE for one in row.versions
    ]
    assert matrix.page(results) == page


def test_the_table_of_supported_versions_is_current() -> None:
    """docs/frameworks.md has the version table as it is."""
    assert supported.updated(supported.PAGE.read_text()) == supported.PAGE.read_text(), "run `make docs`"
