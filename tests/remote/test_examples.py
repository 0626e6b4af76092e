"""Every program in examples/ runs offline, on a daemon with the embedded model: what it answers is not looked at, that it ends is."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Generator
from pathlib import Path

import pytest

from aios_adapters.remote.control import Control
from aios_kernel import models
from aios_kernel.trace import read_trace
from tests.envs import ROOT
from tests.support.examples import EXAMPLES, SHARED_NOTES, Example
from tests.support.waiting import wait_until

pytest.importorskip("torch")
pytestmark = pytest.mark.slow

PATIENCE = 280  # seconds for a program on a busy machine, imports included


class Daemon:
    """A daemon with the embedded model; the trace says what it served."""

    def __init__(self, folder: Path) -> None:
        self.address = f"unix:{folder / 'k.sock'}"
        self.trace = folder / "trace.json"
        options = [f"--socket={folder / 'k.sock'}", "--model=embedded", "--policy=wfq", f"--trace={self.trace}"]
        command = [sys.executable, "-m", "aios_adapters", "serve", *options]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        assert self.process.stdout is not None
        assert self.process.stdout.readline().startswith("aios: ready")

    def served(self) -> list[tuple[str, str]]:
        """Framework and agent of each call to the model that it answered."""
        return [
            (one.framework, one.agent)
            for one in read_trace(self.trace)
            if (one.phase, one.kind, one.resource, one.outcome) == ("run", "llm", "embedded", "ok")
        ]


@pytest.fixture(scope="module")
def daemon(tmp_path_factory: pytest.TempPathFactory) -> Generator[Daemon]:
    """One for all programs."""
    if not models.installed(models.DEFAULT):
        pytest.skip(f"the embedded model is not installed: aios models pull {models.DEFAULT}")
    daemon = Daemon(tmp_path_factory.mktemp("daemon"))
    yield daemon
    daemon.process.kill()
    daemon.process.communicate()


def test_every_example_is_known() -> None:
    """A program without a row here would go untested."""
    folder = ROOT / "examples"
    files = {path.relative_to(folder).as_posix() for path in folder.rglob("*.py")}
    assert {one.file for one in (*EXAMPLES, *SHARED_NOTES)} == files


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda one: one.file)
def test_runs_on_the_embedded_model(example: Example, daemon: Daemon, tmp_path: Path) -> None:
    """Exit code 0, something said, the daemon's model asked under the agent's framework, and nothing left behind there."""
    before = len(daemon.served())
    program = example.start(daemon.address, tmp_path)
    try:
        out, err = program.communicate(timeout=PATIENCE)
    finally:
        program.kill()
    assert program.returncode == 0, err
    assert out.strip()
    served = daemon.served()[before:]
    assert served
    assert {framework for framework, _ in served} == {example.adapter}
    wait_until(lambda: [agent["name"] for agent in Control(daemon.address).agents()] == ["root"])
