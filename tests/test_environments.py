"""The framework environments: their table and locks agree, and the plugin reports what happens inside."""

from __future__ import annotations

import os
import re
import sys
from pathlib import Path

import pytest

from tests import envs

CONFTEST = """
import sys
from pathlib import Path
from tests import envs
from tests.support.frameworks import pytest_addoption, pytest_collect_directory, pytest_terminal_summary

envs.ROOT = Path(__file__).parent
envs.environments = lambda: {
    "fake": envs.Environment("fake", (envs.ROOT / "fw",), ()),
    "middle": envs.Environment("middle", (envs.ROOT / "fw",), (), ci=False),
}
envs.build = lambda environment: Path(sys.executable)
"""
ELSEWHERE = """
rows = envs.environments()
envs.environments = lambda: {**rows, "elsewhere": envs.Environment("elsewhere", (envs.ROOT / "fw",), (), supports="<3")}
"""
BROKEN = """
good = envs.build

def build(environment):
    if environment.name == "middle":
        raise envs.EnvironmentFailed("there is no network")
    return good(environment)

envs.build = build
"""


@pytest.fixture
def fake(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> pytest.Pytester:
    """A project with one framework directory, whose environment is this interpreter."""
    monkeypatch.setenv("PYTHONPATH", str(envs.ROOT))
    monkeypatch.delenv(envs.INSIDE, raising=False)
    pytester.makeconftest(CONFTEST)
    pytester.makeini("[pytest]\nasyncio_default_fixture_loop_scope = function")
    pytester.mkdir("fw")
    return pytester


@pytest.mark.parametrize("environment", envs.environments().values(), ids=lambda environment: environment.name)
def test_locks_belong_to_the_table(environment: envs.Environment) -> None:
    """Every environment has tests, and a lock resolved from its row that names no torch."""
    assert environment.home.is_absolute()
    assert environment.tests
    assert all(list(folder.glob("test_*.py")) for folder in environment.tests)
    assert "torch" not in environment.lock.read_text()


def test_a_changed_row_makes_its_lock_stale() -> None:
    """A lock resolved for other packages is refused with the command that renews it."""
    row = envs.environments()["openai-3"]
    changed = envs.Environment(row.name, row.tests, (*row.packages, "more"))
    with pytest.raises(envs.EnvironmentFailed, match="make locks"):
        _ = changed.home


def test_integrations_are_tested_as_the_extras_install_them() -> None:
    """The environment's ranges are those of the extras, whose tests it runs."""
    extras = re.findall(r"^(?:memory|chroma|mcp) = \[(.+)\]$", (envs.ROOT / "pyproject.toml").read_text(), re.MULTILINE)
    named = {one for line in extras for one in re.findall(r'"([^"]+)"', line) if not one.startswith("aios-adapters")}
    assert len(extras) == 3
    assert named <= set(envs.INTEGRATIONS)


def test_a_program_runs_inside(monkeypatch: pytest.MonkeyPatch) -> None:
    """It sees this checkout and our entry points, and its exit code is the command's."""
    monkeypatch.setattr(envs, "build", lambda _: Path(sys.executable))
    code = (
        "import sys, aios_kernel; from importlib.metadata import version; version('aios-adapters');"
        f"sys.exit(3 if sys.argv[1] == '--quick' and aios_kernel.__file__.startswith({str(envs.ROOT)!r}) else 1)"
    )
    assert envs.main(["python", "integrations", "-c", code, "--quick"]) == 3


def test_without_uv_the_error_says_so(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No uv is an error that tells what to install, not a skip."""
    monkeypatch.setattr(envs.shutil, "which", lambda *_, **__: None)
    monkeypatch.setenv("AIOS_TEST_ENVS", str(tmp_path))
    with pytest.raises(envs.EnvironmentFailed, match="pip install"):
        envs.build(envs.environments()["openai-3"])
    assert [path.name for path in tmp_path.iterdir() if path.is_dir()] == []


def test_inner_tests_are_reported_by_file(fake: pytest.Pytester) -> None:
    """One outer test a file: passes, failures with their text, files that fail to import, and files without tests."""
    bodies = {
        "good": f"import os\ndef test_inside(): assert os.environ[{envs.INSIDE!r}] == 'fake'",
        "bad": "def test_fine(): pass\ndef test_wrong(): assert 'the reason' == 1",
        "broken": "import no_such_module",
        "empty": "",
        "skipped": "import pytest\n@pytest.mark.skip\ndef test_skipped(): pass",
        "inherited": "from contract import Contract\nclass TestHere(Contract): pass",
    }
    (fake.path / "contract.py").write_text("class Contract:\n    def test_contract(self): pass")
    for name, body in bodies.items():
        (fake.path / "fw" / f"test_{name}.py").write_text(body)
    result = fake.runpytest_subprocess("-v", "-rfs")
    result.assert_outcomes(passed=2, failed=3, skipped=1)
    result.stdout.fnmatch_lines_random(
        [
            "fw/test_good.py::fake PASSED*",
            "____ test_wrong ____",
            "*assert 'the reason' == 1",
            "*No module named 'no_such_module'*",
            "no tests ran in fake:",
            "fake: 2 failed, 3 passed, 1 skipped in *",
        ]
    )


def test_the_outer_process_imports_no_inner_file(fake: pytest.Pytester) -> None:
    """Collecting a framework's directory reads names only: nothing in it is imported outside."""
    (fake.path / "fw" / "test_x.py").write_text("raise SystemExit('imported')")
    result = fake.runpytest_subprocess("--collect-only", "-q", "fw/test_x.py")
    result.stdout.fnmatch_lines(["fw/test_x.py::fake"])
    assert result.ret == 0


def test_versions_in_between_run_only_when_asked_for(fake: pytest.Pytester) -> None:
    """By default the oldest and the newest run; with --all-versions every environment does."""
    (fake.path / "fw" / "test_x.py").write_text("def test_x(): pass")
    fake.runpytest_subprocess().assert_outcomes(passed=1)
    fake.runpytest_subprocess("--all-versions").assert_outcomes(passed=2)


def test_an_environment_that_cannot_be_built_fails_its_own_tests(fake: pytest.Pytester) -> None:
    """The reason is told, without this plugin's traceback."""
    fake.makeconftest(CONFTEST + BROKEN)
    (fake.path / "fw" / "test_x.py").write_text("def test_x(): pass")
    result = fake.runpytest_subprocess("--all-versions")
    result.assert_outcomes(passed=1, failed=1)
    result.stdout.fnmatch_lines(["there is no network"])
    result.stdout.no_fnmatch_line("*Traceback*")


def test_this_environment_has_no_inner_marker() -> None:
    """The main test run is not mistaken for a framework's environment."""
    assert envs.INSIDE not in os.environ


def test_a_framework_that_does_not_install_on_this_python_is_skipped(fake: pytest.Pytester) -> None:
    """The reason names the versions it supports, and its environment is not built."""
    fake.makeconftest(CONFTEST + ELSEWHERE)
    (fake.path / "fw" / "test_good.py").write_text("def test_fine(): pass")
    result = fake.runpytest_subprocess("-v", "-rs")
    result.assert_outcomes(passed=1, skipped=1)
    result.stdout.fnmatch_lines(["*it supports Python <3*"])


def test_the_frameworks_conftest_is_imported_inside_only(fake: pytest.Pytester) -> None:
    """It may import its framework, which is not installed here."""
    (fake.path / "fw" / "conftest.py").write_text(f"import os\nassert os.environ[{envs.INSIDE!r}] == 'fake'")
    (fake.path / "fw" / "test_good.py").write_text("def test_fine(): pass")
    fake.runpytest_subprocess("-v").assert_outcomes(passed=1)
