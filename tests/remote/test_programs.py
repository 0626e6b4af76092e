"""Programs of five frameworks on one daemon: what they share, and what is left when one of them, or the daemon, is killed."""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
import time
from collections.abc import Generator
from pathlib import Path

import pytest

from aios_adapters.remote.control import Control
from aios_evals.endpoint import Endpoint
from tests.envs import ROOT
from tests.support.examples import FIVE
from tests.support.waiting import wait_until

IMPORTS = 180  # seconds for five frameworks to be imported at once, on a busy machine
Programs = dict[str, "subprocess.Popen[str]"]

pytestmark = pytest.mark.slow


@pytest.fixture
def endpoint() -> Generator[Endpoint]:
    """The model: nobody's call ends within a test unless the test wants it to."""
    with Endpoint(latency=3600) as running:
        yield running


@contextlib.contextmanager
def _serve(socket: Path, endpoint: Endpoint, *options: str) -> Generator[subprocess.Popen[str]]:
    """A daemon with the endpoint as its model."""
    command = [
        sys.executable,
        "-m",
        "aios_adapters",
        "serve",
        f"--socket={socket}",
        f"--llm=openai:{endpoint.base_url}",
    ]
    daemon = subprocess.Popen([*command, *options], stdout=subprocess.PIPE, text=True)
    try:
        assert daemon.stdout is not None
        assert daemon.stdout.readline().startswith("aios: ready")
        yield daemon
    finally:
        daemon.kill()
        daemon.communicate()


@contextlib.contextmanager
def _programs(address: str, folder: Path) -> Generator[Programs]:
    """The five, by what their agents say their framework is."""
    running = {one.adapter: one.start(address, folder / one.environment) for one in FIVE}
    try:
        yield running
    finally:
        for process in running.values():
            process.kill()
            process.communicate()


def _model(control: Control) -> tuple[int, int]:
    """How many calls the model runs, and how many wait for it."""
    rows = [row for row in control.status()["resources"] if row["resource"].startswith("openai:")]
    return (rows[0]["running"], rows[0]["waiting"]) if rows else (0, 0)


def _holders(control: Control) -> set[str]:
    """The frameworks whose agents have a call running: of the model's, once they have stopped to remember things."""
    return {agent["framework"] for agent in control.agents() if agent["running"]}


def test_five_frameworks_interleave(endpoint: Endpoint, tmp_path: Path) -> None:
    """The show itself: every program ends well, every call of theirs to a model is a request of the daemon's, and is drawn."""
    endpoint.latency = 0.2
    png = tmp_path / "shared.png"
    options = ["--llm", f"openai:{endpoint.base_url}", "--slots", "1", "--json", "--png", str(png)]
    done = subprocess.run(
        [sys.executable, "benchmarks/shared.py", *options],
        cwd=ROOT, capture_output=True, text=True, timeout=400, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    agents = json.loads(done.stdout)["agents"]
    calls = {one.framework: sum(row["llm"] for row in agents if row["framework"] == one.framework) for one in FIVE}
    assert all(calls.values()), calls
    assert sum(calls.values()) == len(endpoint.requests)
    assert endpoint.stats()["peak_in_flight"] == 1
    assert sum(row["waited s"] for row in agents) > 0
    assert png.stat().st_size > 10_000


def test_any_program_killed_frees_its_slot_within_a_second(endpoint: Endpoint, tmp_path: Path) -> None:
    """Kill -9 of whoever has the only slot, until nobody is left: the next one has it each time, whatever its framework."""
    address = f"unix:{tmp_path / 'k.sock'}"
    with _serve(tmp_path / "k.sock", endpoint, "--limits=llm:*:in_flight=1"), _programs(address, tmp_path) as programs:
        control = Control(address)
        wait_until(lambda: _model(control) == (1, 4), IMPORTS)
        killed = set[str]()
        while len(killed) < len(programs):
            wait_until(lambda: len(_holders(control)) == 1)
            (holder,) = _holders(control)
            assert holder not in killed
            killed.add(holder)
            left = len(programs) - len(killed)
            programs[holder].kill()
            begun = time.monotonic()
            wait_until(lambda left=left: _model(control) == (min(left, 1), max(left - 1, 0)))
            assert time.monotonic() - begun < 1
        assert len(endpoint.requests) == len(programs)


def test_a_killed_daemon_hangs_no_program(endpoint: Endpoint, tmp_path: Path) -> None:
    """Kill -9 of the daemon, while two calls run in it and three wait: every program ends with an error that says what to do."""
    address = f"unix:{tmp_path / 'k.sock'}"
    with (
        _serve(tmp_path / "k.sock", endpoint, "--limits=llm:*:in_flight=2") as daemon,
        _programs(address, tmp_path) as programs,
    ):
        control = Control(address)
        wait_until(lambda: _model(control) == (2, 3), IMPORTS)
        daemon.kill()
        begun = time.monotonic()
        for framework, process in programs.items():
            out, err = process.communicate(timeout=30 - (time.monotonic() - begun))
            assert process.returncode not in (0, None), (framework, out, err)
            assert address in out + err, (framework, out, err)
            assert "aios serve" in out + err, (framework, out, err)
