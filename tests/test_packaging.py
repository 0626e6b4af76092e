"""The distribution: what is in the wheel, how it lives beside a user's own folders, and what importing it loads."""

from __future__ import annotations

import configparser
import os
import subprocess
import sys
import zipfile
from importlib import metadata
from pathlib import Path

import pytest

from tests import envs
from tests.support.metadata import metadata_folder
from tests.support.structure import PACKAGES, ROOT

NAMES = ("aios_adapters", "aios_kernel", "aios_integrations", "aios_evals")
DATA = (".safetensors", ".json", ".jinja", ".md", ".typed")
HEAVY = (
    "torch", "numpy", "transformers", "openai", "langchain_core", "langgraph", "autogen_core", "autogen", "llama_index",
    "litellm", "chromadb", "ray", "opentelemetry", "pydantic", "rich", "matplotlib", "httpx",
)  # fmt: skip
APP = """
import sys
import evals.mine, integrations.mine, kernel.mine
assert (kernel.mine.OWNER, evals.mine.OWNER, integrations.mine.OWNER) == ("user",) * 3
import aios_adapters, aios_evals.endpoint, aios_integrations, aios_kernel
print(sys.modules["aios_kernel"].__file__)
"""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, built by the build backend itself."""
    target = tmp_path_factory.mktemp("wheel")
    _run(sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(target), cwd=ROOT)
    (path,) = target.glob("*.whl")
    return path


@pytest.fixture
def user_project(tmp_path: Path, request: pytest.FixtureRequest) -> Path:
    """A user's project with folders named like our containers, regular packages or plain folders."""
    project = tmp_path / "project"
    for name in ("kernel", "evals", "integrations"):
        (project / name).mkdir(parents=True)
        (project / name / "mine.py").write_text("OWNER = 'user'\n")
        if request.param == "packages":
            (project / name / "__init__.py").touch()
    (project / "app.py").write_text(APP)
    return project


def test_wheel_contents(wheel: Path) -> None:
    """The wheel holds the four packages with their data, the licence and the console script, and nothing else."""
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
        points = configparser.ConfigParser()
        points.read_string(archive.read(next(n for n in names if n.endswith("entry_points.txt"))).decode())
    tops = {name.split("/")[0] for name in names}
    assert {top for top in tops if not top.endswith(".dist-info")} == set(NAMES)
    assert {f"{name}/py.typed" for name in NAMES} <= set(names)
    assert any(name.endswith("licenses/LICENSE") for name in names)
    assert points["console_scripts"]["aios"] == "aios_adapters.cli:main"


def test_the_integrations_environment_has_the_wheels_entry_points(wheel: Path, tmp_path: Path) -> None:
    """Where only the checkout is on the path, the package is found under the same names, and in the same version."""
    folder = metadata_folder(ROOT / "pyproject.toml", tmp_path)
    ours, theirs = (next(iter(metadata.distributions(path=[str(path)]))) for path in (folder, wheel))
    assert {point.group for point in theirs.entry_points} > {"aios.servers", "aios.stores"}
    assert sorted(ours.entry_points) == sorted(theirs.entry_points)
    assert (ours.name, ours.version) == (theirs.name, theirs.version)


def test_wheel_has_every_source_and_data_file(wheel: Path) -> None:
    """Each module and data file of the source tree is in the wheel."""
    with zipfile.ZipFile(wheel) as archive:
        packed = set(archive.namelist())
    expected = {
        path.relative_to((ROOT / package).parent).as_posix()
        for package in PACKAGES
        for path in (ROOT / package).rglob("*")
        if path.suffix in {".py", *DATA} and "__pycache__" not in path.parts
    }
    assert expected - packed == set()


@pytest.mark.parametrize("user_project", ["packages", "folders"], indirect=True)
@pytest.mark.parametrize("kind", ["wheel", "editable"])
def test_beside_a_users_own_folders(kind: str, user_project: Path, wheel: Path, tmp_path: Path) -> None:
    """With base dependencies only, our packages and a user's kernel/, evals/ and integrations/ import together."""
    python = tmp_path / "venv" / "bin" / "python"
    envs.uv("venv", "--quiet", f"--python={sys.executable}", str(tmp_path / "venv"))
    source = ["--editable", str(ROOT)] if kind == "editable" else [str(wheel)]
    envs.uv("pip", "install", "--quiet", f"--python={python}", *source)
    where = _run(str(python), "app.py", cwd=user_project)
    assert where.startswith(str(ROOT if kind == "editable" else tmp_path))


@pytest.mark.parametrize("name", NAMES)
def test_importing_loads_nothing_heavy(name: str) -> None:
    """Importing a package loads no framework, no torch and no numpy, even where they are installed."""
    code = f"import {name}, sys; print(*sorted(set({HEAVY!r}) & set(sys.modules)))"
    assert _run(sys.executable, "-c", code, cwd=ROOT) == ""


def _run(*command: str, cwd: Path) -> str:
    """Run a command outside any environment's influence and return what it printed."""
    variables = {name: value for name, value in os.environ.items() if name not in {"PYTHONPATH", "VIRTUAL_ENV"}}
    done = subprocess.run(command, cwd=cwd, env=variables, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()
