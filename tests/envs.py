"""Test environments of frameworks, of the integrations and of notebooks: resolve, build and run them. `python -m tests.envs list|lock|build|run|python NAME ...`.

An environment is built once per lock file and Python, outside the repository (AIOS_TEST_ENVS or the user's cache), and
sees the four packages through PYTHONPATH, so that a change of code needs no rebuild.
"""

from __future__ import annotations

import argparse
import contextlib
import fcntl
import hashlib
import os
import platform
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from packaging.specifiers import SpecifierSet

from aios_adapters.versions import TABLE, Tested
from tests.support.metadata import metadata_folder

ROOT = Path(__file__).resolve().parent.parent
LOCKS = ROOT / "tests" / "locks"
CONSTRAINTS = ROOT / "constraints.txt"
PACKAGE_ROOTS = (".", "kernel", "integrations", "evals")
INSIDE = "AIOS_TEST_ENV"  # set to the environment's name where its tests run
#: What goes into every environment beside the framework. None of them has torch.
COMMON = ("wrapt>=1.14,<3", "packaging>=21", "typing-extensions>=4.6", "pytest>=8.3", "pytest-asyncio>=1.0")
#: The extras `chroma` and `mcp` of pyproject.toml, with what their tests need. They are no framework, so in no matrix.
INTEGRATIONS = ("chromadb>=1.5,<2", "numpy>=1.26", "mcp>=2.3,<3", "uvicorn>=0.40,<1", "hypothesis>=6.100")
#: A notebook's kernel, and the front end that tests drive it with.
NOTEBOOK = ("ipykernel>=6.27,<8", "jupyter-client>=8", "openai>=3.52,<4")
_CUDA = ("cuda-", "nvidia-", "triton==")  # what torch brings is left to torch


class EnvironmentFailed(Exception):
    """An environment cannot be resolved or built; the message says why and what to do."""


@dataclass(frozen=True)
class Environment:
    """A set of packages, and the folders whose tests run with it."""

    name: str
    tests: tuple[Path, ...]
    packages: tuple[str, ...]
    overrides: tuple[str, ...] = ()
    supports: str = ""  # the interpreters it installs on, where they are fewer than ours
    ci: bool = True
    installed: bool = False  # whether its tests want our entry points, as an installation has them

    @property
    def fits(self) -> bool:
        """Whether it installs on this interpreter."""
        return SpecifierSet(self.supports).contains(platform.python_version())

    @property
    def lock(self) -> Path:
        """The lock file."""
        return LOCKS / f"{self.name}.txt"

    @property
    def stamp(self) -> str:
        """The lock file's first line: it names what was resolved, so that a stale lock shows."""
        row = " ".join((*self.packages, *self.overrides, *([self.supports] if self.supports else [])))
        return f"# {hashlib.sha256(row.encode()).hexdigest()[:16]} {self.name}"

    @property
    def home(self) -> Path:
        """Where the environment for this lock and this Python lives, built or not."""
        python = f"{sys.implementation.cache_tag}-{sys.platform}"
        digest = hashlib.sha256(self._locked().encode()).hexdigest()[:12]
        return cache_root() / f"{self.name}-{python}-{digest}"

    @property
    def python(self) -> Path:
        """The environment's interpreter."""
        return self.home / "bin" / "python"

    @property
    def path(self) -> str:
        """What PYTHONPATH is there."""
        roots = [ROOT / part for part in PACKAGE_ROOTS]
        if self.installed:
            roots.append(metadata_folder(ROOT / "pyproject.toml", cache_root()))
        return os.pathsep.join(map(str, roots))

    def _locked(self) -> str:
        if not self.lock.exists() or not self.lock.read_text().startswith(self.stamp + "\n"):
            raise EnvironmentFailed(f"{self.lock.name} does not belong to the version table: run `make locks`")
        return self.lock.read_text()


def environments() -> dict[str, Environment]:
    """Every environment of the version table, the integrations', and the notebook's."""
    frameworks = {
        one.name: Environment(
            one.name,
            (ROOT / "tests" / "adapters" / row.tests,),
            (*one.packages, *_observers(one), *COMMON),
            row.overrides,
            row.python,
            one.ci,
        )
        for row in TABLE
        for one in row.versions
    }
    folders = tuple(ROOT / "tests" / "integrations" / one for one in ("chroma", "mcp"))
    integrations = Environment("integrations", folders, (*INTEGRATIONS, *COMMON), installed=True)
    notebook = Environment("notebook", (ROOT / "tests" / "notebook",), (*NOTEBOOK, *COMMON))
    return {**frameworks, integrations.name: integrations, notebook.name: notebook}


def _observers(one: Tested) -> tuple[str, ...]:
    return (*one.observers, "opentelemetry-sdk") if one.observers else ()


def cache_root() -> Path:
    """Return the directory of all built environments."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return Path(os.environ.get("AIOS_TEST_ENVS") or cache / "aios-adapters" / "envs")


def build(environment: Environment) -> Path:
    """Return the environment's interpreter, built first if need be. Several processes may ask at once."""
    if not environment.python.exists():
        environment.home.parent.mkdir(parents=True, exist_ok=True)
        with _locked_file(environment.home.with_name(environment.home.name + ".lock")):
            if not environment.python.exists():
                _build(environment)
    return environment.python


def run(
    environment: Environment, arguments: Sequence[str], timeout: float | None = None
) -> subprocess.CompletedProcess[str]:
    """Run pytest inside the environment, from the repository's root; capture its output when there is a timeout."""
    return subprocess.run(
        [str(build(environment)), "-m", "pytest", *arguments],
        cwd=ROOT,
        env={**_variables(environment), INSIDE: environment.name},
        timeout=timeout,
        text=True,
        check=False,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE if timeout else None,
        stderr=subprocess.STDOUT if timeout else None,
    )


def _variables(environment: Environment) -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": environment.path}


def lock(environment: Environment, options: Sequence[str] = ()) -> None:
    """Resolve an environment for every supported Python; what is locked already stays unless --upgrade is given."""
    LOCKS.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder) / "in.txt"
        source.write_text("\n".join(environment.packages))
        overrides = Path(folder) / "overrides.txt"
        overrides.write_text("\n".join(environment.overrides))
        body = _compile(source, environment.lock, [f"--override={overrides}", *options])
    environment.lock.write_text(environment.stamp + "\n" + body)


def lock_constraints(options: Sequence[str] = ()) -> None:
    """Resolve constraints.txt from pyproject.toml, keeping its comments and torch's pin."""
    head = [line for line in CONSTRAINTS.read_text().splitlines() if line.startswith(("#", "torch=="))]
    body = _compile(ROOT / "pyproject.toml", CONSTRAINTS, ["--extra=dev", "--no-emit-package=torch", *options])
    kept = [line for line in body.splitlines() if not line.startswith(_CUDA)]
    CONSTRAINTS.write_text("\n".join([*head, *kept]) + "\n")


def _compile(source: Path, output: Path, options: Sequence[str]) -> str:
    """Resolve for every supported Python. The present output is uv's preference, but uv does not write to it."""
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / "out.txt"
        copy.write_text(output.read_text() if output.exists() else "")
        flags = ["--universal", "--python-version=3.10", "--no-header", "--no-annotate", "-q"]
        uv("pip", "compile", *flags, *options, f"--output-file={copy}", str(source))
        return copy.read_text()


def _build(environment: Environment) -> None:
    """Build beside the final place and rename, so that a killed build leaves nothing that looks ready."""
    partial = Path(tempfile.mkdtemp(prefix=f".{environment.name}-", dir=environment.home.parent))
    try:
        uv("venv", "--quiet", "--relocatable", "--clear", f"--python={sys.executable}", str(partial))
        # The lock is complete; without --no-deps uv would check it against the pins that the overrides replace.
        python = f"--python={partial / 'bin' / 'python'}"
        # Compiled once here, not by every process of a test run that may not write bytecode.
        options = ("--quiet", "--no-deps", "--compile-bytecode", python, f"--requirement={environment.lock}")
        uv("pip", "install", *options)
        partial.rename(environment.home)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def uv(*arguments: str) -> None:
    """Run uv, which must not fetch a Python; raise with its message when it fails."""
    beside = Path(sys.executable).parent
    found = shutil.which("uv", path=os.pathsep.join([str(beside), os.environ.get("PATH", "")]))
    if found is None:
        raise EnvironmentFailed("uv is not installed: pip install -c constraints.txt -e '.[test]'")
    variables = {**os.environ, "UV_PYTHON_DOWNLOADS": "never", "UV_NO_PROGRESS": "1"}
    variables.pop("VIRTUAL_ENV", None)
    command = [found, *arguments]
    done = subprocess.run(command, env=variables, capture_output=True, text=True, check=False, cwd=ROOT)
    if done.returncode:
        raise EnvironmentFailed(f"uv {' '.join(arguments[:2])} failed (is there a network?):\n{done.stderr}")


@contextlib.contextmanager
def _locked_file(path: Path) -> Iterator[None]:
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command of the tool."""
    parser = argparse.ArgumentParser(prog="python -m tests.envs", description=__doc__)
    parser.add_argument("command", choices=["list", "lock", "constraints", "build", "run", "python"])
    parser.add_argument("name", nargs="?", help="one environment; all of them by default")
    arguments, rest = parser.parse_known_args(argv)
    table = environments()
    chosen = [table[arguments.name]] if arguments.name else list(table.values())
    try:
        if arguments.command == "constraints":
            lock_constraints(rest)
        return max(_command(arguments.command, environment, rest) for environment in chosen)
    except EnvironmentFailed as error:
        print(error, file=sys.stderr)
        return 1


def _command(command: str, environment: Environment, rest: Sequence[str]) -> int:
    if command == "lock":
        lock(environment, rest)
    elif command == "build":
        print(environment.name, build(environment))
    elif command == "run":
        return run(environment, rest or [str(folder) for folder in environment.tests]).returncode
    elif command == "python":
        return subprocess.run([str(build(environment)), *rest], env=_variables(environment), check=False).returncode
    elif command == "list":
        state = "built" if environment.python.exists() else "not built"
        folders = " ".join(str(folder.relative_to(ROOT)) for folder in environment.tests)
        print(f"{environment.name:16} {state:10} {folders}  {environment.home}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
