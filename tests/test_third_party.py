"""A third party's adapter: two real packages, installed, found by entry point, and held to the contract."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests import envs

PACKAGES = envs.ROOT / "tests" / "third_party"
WALK = envs.ROOT / "docs" / "write-an-adapter.md"


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder into which toylib and aios-toylib are installed as wheels."""
    folder = tmp_path_factory.mktemp("site")
    packages = [str(PACKAGES / name) for name in ("toylib", "aios-toylib")]
    options = ["--quiet", "--no-deps", "--no-build-isolation", f"--python={sys.executable}", f"--target={folder}"]
    envs.uv("pip", "install", *options, *packages)
    return folder


def run(site: Path, *command: str) -> subprocess.CompletedProcess[str]:
    """Run Python with the folder on its path."""
    path = os.pathsep.join([str(site), *(str(envs.ROOT / part) for part in envs.PACKAGE_ROOTS)])
    variables = {**os.environ, "PYTHONPATH": path, envs.INSIDE: "toylib"}
    command = (sys.executable, *command)
    return subprocess.run(
        command, env=variables, cwd=envs.ROOT, capture_output=True, text=True, check=False, timeout=300
    )


def test_it_is_found_by_its_entry_point(site: Path) -> None:
    """Installed is enough: nobody names the adapter, and the framework is not imported for it."""
    script = (
        "import sys, aios_adapters; aios_adapters.enable(); print(aios_adapters.status()['toylib'].state, 'toylib' in sys.modules); "
        "import toylib; print(aios_adapters.status()['toylib'])"
    )
    done = run(site, "-c", script)
    assert done.returncode == 0, done.stderr
    first, second = done.stdout.splitlines()
    assert first == "waiting False"
    assert "state='active'" in second
    assert "version='1.2.0'" in second


def test_it_keeps_the_contract(site: Path) -> None:
    """The same suite as the adapters that come with the package."""
    done = run(site, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(PACKAGES / "aios-toylib" / "contract.py"))
    assert done.returncode == 0, done.stdout[-4000:]
    assert re.search(r"\b2\d passed", done.stdout) or re.search(r"\b1\d passed", done.stdout), done.stdout[-500:]


def test_the_walk_through_shows_the_package_as_it_is() -> None:
    """Every block of code in docs/write-an-adapter.md stands in the package word for word."""
    files = [path.read_text() for path in PACKAGES.rglob("*") if path.suffix in {".py", ".toml"}]
    blocks = re.findall(r"```(?:python|toml)\n(.*?)```", WALK.read_text(), flags=re.DOTALL)
    assert len(blocks) >= 5
    for block in blocks:
        assert any(block in text for text in files), block
