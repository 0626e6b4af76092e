"""The command line: help, exit codes, tables and the commands that only look."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from aios_adapters.cli import doctor, main
from aios_kernel.abi import Usage
from aios_kernel.errors import ModelLoadError
from aios_kernel.events import Event
from aios_kernel.trace import ChromeTrace


def write_trace(path: Path, *, agents: int = 3) -> Path:
    """Write a trace in which every agent waits one second longer than the one before, and runs one second."""
    with ChromeTrace(path) as trace:
        events: list[Event] = []
        for number in range(agents):
            base: dict[str, Any] = {
                "sid": number + 1, "pid": number + 2, "agent": f"agent-{number}", "kind": "llm", "label": "chat m",
                "resource": "llm:m",
            }  # fmt: skip
            usage = Usage(input_tokens=10, output_tokens=4)
            events += [
                Event("submit", 0.0, **base),
                Event("grant", float(number), **base),
                Event("finish", number + 1.0, **base, details={"usage": usage}),
            ]
        for event in sorted(events, key=lambda one: one.time):
            trace(event)
    return path


def test_help_names_every_command(capsys: pytest.CaptureFixture[str]) -> None:
    """`aios --help` lists the commands, and each explains itself."""
    with pytest.raises(SystemExit, match="0"):
        main(["--help"])
    said = capsys.readouterr().out
    for command in ("demo", "models", "trace", "status", "doctor"):
        assert command in said
        with pytest.raises(SystemExit, match="0"):
            main([command, "--help"])
        assert capsys.readouterr().out.startswith(f"usage: aios {command}")


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    """`aios --version` names the distribution and its version."""
    with pytest.raises(SystemExit, match="0"):
        main(["--version"])
    assert capsys.readouterr().out.startswith("aios-adapters ")


def test_wrong_use_exits_2(capsys: pytest.CaptureFixture[str]) -> None:
    """No command, an unknown one and an impossible number are refused with usage and exit code 2."""
    for argv in ([], ["dmeo"], ["demo", "--agents", "0"], ["demo", "--agents", "many"]):
        with pytest.raises(SystemExit, match="2"):
            main(argv)
        assert "usage: aios" in capsys.readouterr().err


@pytest.mark.parametrize("option", ["--policy", "--model"])
def test_unknown_names_are_one_line(option: str, capsys: pytest.CaptureFixture[str]) -> None:
    """An unknown policy or core is one line that lists the known ones; exit code 2."""
    assert main(["demo", option, "fifoo"]) == 2
    said = capsys.readouterr()
    assert said.out == ""
    lines = [line for line in said.err.splitlines() if line.startswith("aios: ")]
    assert len(lines) == 1
    assert "unknown" in lines[0] and "'fifoo'" in lines[0] and "Known:" in lines[0]


def test_errors_of_ours_are_one_line(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """An error that is no wrong use exits 1 with its message; Ctrl-C exits 130."""

    def fail() -> Any:
        raise ModelLoadError("no room")

    monkeypatch.setattr(doctor, "report", fail)
    assert main(["status"]) == 1
    assert capsys.readouterr().err == "aios: no room\n"

    def interrupt() -> Any:
        raise KeyboardInterrupt

    monkeypatch.setattr(doctor, "report", interrupt)
    assert main(["status"]) == 130
    assert capsys.readouterr().err == "aios: interrupted\n"


def test_status_as_json(capsys: pytest.CaptureFixture[str]) -> None:
    """`aios status --json` is one object with adapters, models, policies and cores."""
    assert main(["status", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert {"fifo", "rr", "priority"} <= set(found["policies"])
    assert "embedded" in found["cores"]
    assert {row["adapter"] for row in found["adapters"]} >= {"openai"}
    assert all(isinstance(row["present"], bool) for row in found["models"])


def test_doctor_tells_what_is_broken(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """An adapter that cannot be loaded is a problem: it is named, and the exit code is 1."""
    from aios_adapters import adapter

    broken = [adapter.Broken("mine", ImportError("no module named mine"))]
    monkeypatch.setattr(adapter, "load_all", lambda: broken)
    assert main(["doctor"]) == 1
    assert "problem: adapter mine is off" in capsys.readouterr().out
    monkeypatch.setattr(adapter, "load_all", list)
    assert main(["doctor"]) == 0
    said = capsys.readouterr().out
    assert "Nothing is broken." in said and "no supported agent framework" in said


def test_looking_imports_nothing_heavy() -> None:
    """`aios --help` and `aios status` load no torch, no framework, no matplotlib."""
    program = """
import sys
from aios_adapters.cli import main
assert main(["status"]) == 0
heavy = {"torch", "transformers", "langchain", "langgraph", "autogen_core", "openai", "matplotlib", "numpy"}
print(sorted(heavy & set(sys.modules)))
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"


def test_trace_tables(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """`aios trace` sums up agents and resources of a file."""
    path = write_trace(tmp_path / "t.json")
    assert main(["trace", str(path), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert [(a["agent"], a["waited"], a["ran"], a["turnaround"]) for a in found["agents"]] == [
        ("agent-0", 0.0, 1.0, 1.0),
        ("agent-1", 1.0, 1.0, 2.0),
        ("agent-2", 2.0, 1.0, 3.0),
    ]
    assert found["agents"][0]["outcomes"] == {"ok": 1} and found["agents"][0]["output_tokens"] == 4
    (resource,) = found["resources"]
    assert (resource["mean_wait"], resource["p90_wait"], resource["running_on_average"]) == (1.0, 2.0, 1.0)
    assert main(["trace", str(path)]) == 0
    assert "agent-2" in capsys.readouterr().out


def test_trace_of_what_is_none(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A missing file and one that is no trace are one line each; exit code 2."""
    (tmp_path / "x.json").write_text("{}")
    for name in ("x.json", "missing.json"):
        assert main(["trace", str(tmp_path / name)]) == 2
        assert capsys.readouterr().err.startswith("aios: ")


def test_trace_without_calls(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """An empty trace has empty tables, and no picture is drawn of it."""
    ChromeTrace(tmp_path / "t.json").close()
    assert main(["trace", str(tmp_path / "t.json")]) == 0
    assert main(["trace", str(tmp_path / "t.json"), "--png", str(tmp_path / "t.png")]) == 2
    assert "nothing to draw" in capsys.readouterr().err


def test_a_closed_pipe_is_no_error(tmp_path: Path) -> None:
    """`aios trace ... | true` ends quietly."""
    path = write_trace(tmp_path / "t.json", agents=3000)
    read, write = os.pipe()
    os.close(read)
    command = [sys.executable, "-m", "aios_adapters", "trace", str(path)]
    done = subprocess.run(command, stdout=write, stderr=subprocess.PIPE, text=True, check=False)
    os.close(write)
    assert (done.returncode, done.stderr) == (0, "")
