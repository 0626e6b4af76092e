"""Sessions for nox, with uv: one per framework environment and Python, from the same version table as everything else.

`nox -l` lists them, `nox` runs the oldest and the newest version of each framework, `nox -s versions_between` the others,
`nox -s "frameworks-3.11(openai-3)"` one, and `nox -s matrix` writes docs/matrix.md. A Python that is not installed is skipped.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

import nox
from packaging.specifiers import SpecifierSet

ROOT = Path(__file__).resolve().parent
sys.path.insert(0, str(ROOT))
os.environ["UV_PYTHON_DOWNLOADS"] = "never"

from tests import envs  # noqa: E402 - from this checkout, installed or not

PYTHONS = ["3.10", "3.11", "3.12", "3.13"]
TABLE = envs.environments()
IN_CI = [name for name, environment in TABLE.items() if environment.ci]
BETWEEN = [name for name in TABLE if name not in IN_CI]

nox.needs_version = ">=2024.4.15"
nox.options.default_venv_backend = "uv"
nox.options.sessions = ["frameworks"]
nox.options.error_on_missing_interpreters = False


@nox.session(python=PYTHONS)
@nox.parametrize("name", IN_CI, ids=IN_CI)
def frameworks(session: nox.Session, name: str) -> None:
    """Run a framework's tests in its oldest and newest version."""
    _run(session, name)


@nox.session(python=PYTHONS)
@nox.parametrize("name", BETWEEN, ids=BETWEEN)
def versions_between(session: nox.Session, name: str) -> None:
    """Run a framework's tests in a version between them."""
    _run(session, name)


@nox.session(python=False)
def matrix(session: nox.Session) -> None:
    """Build every environment, run all tests and write docs/matrix.md."""
    session.run("python", "-m", "tests.matrix", "--all", "--docs", *session.posargs)


def _run(session: nox.Session, name: str) -> None:
    """Install an environment's lock and run its tests against this checkout."""
    environment = TABLE[name]
    if not SpecifierSet(environment.supports).contains(str(session.python)):
        session.skip(f"it supports Python {environment.supports}")
    session.install("--no-deps", "-r", str(environment.lock))  # the lock is complete
    session.run(
        "pytest",
        *map(str, environment.tests),
        *session.posargs,
        env={"PYTHONPATH": environment.path, envs.INSIDE: name},
    )
