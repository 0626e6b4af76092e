"""`aios doctor`: what is wrong is named with what to do, what was asked for decides the exit code."""

from __future__ import annotations

import json
import socket
import sys
from pathlib import Path

import pytest

from aios_adapters import _remedies
from aios_adapters.cli import checks, main


@pytest.fixture(autouse=True)
def alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """No settings and no kernel of whoever runs the tests."""
    for name in ("AIOS_KERNEL", "AIOS_ONLY", "AIOS_LLM", "AIOS_POLICY", "AIOS_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def doctor(capsys: pytest.CaptureFixture[str], *options: str) -> tuple[int, dict]:
    code = main(["doctor", "--json", *options])
    return code, json.loads(capsys.readouterr().out)


def test_it_lists_everything_that_matters(capsys: pytest.CaptureFixture[str]):
    """Adapters with remedies, models, cores, sandbox, the shared kernel, Python; a machine that asks for nothing is well."""
    code, found = doctor(capsys)
    assert (code, found["problems"]) == (0, [])
    assert {"python", "packages", "adapters", "models", "cores", "sandbox", "daemon", "hints"} <= set(found)
    assert found["daemon"]["state"] == "not running"
    for row in found["adapters"]:
        assert set(row) == {"adapter", "version", "tested", "state", "reason", "remedy"}
        assert (row["remedy"] == "") == (row["state"] in {"ready", "untested"}), row
    assert {"ag2", "openai_legacy"} <= {row["adapter"] for row in found["adapters"]}
    remedies = {row["adapter"]: row["remedy"] for row in found["adapters"]}
    assert remedies["ag2"] == "pip install 'ag2>=1.2'"
    assert "lancedb" in remedies["metagpt"]


def test_the_table_says_the_same_to_people(capsys: pytest.CaptureFixture[str]):
    """Sandbox, kernel and the install recipes are lines of their own."""
    assert main(["doctor"]) == 0
    said = capsys.readouterr().out
    for text in ("sandbox:", "kernel:", "install: metagpt: uv pip install --override", "Nothing is broken."):
        assert text in said
    main(["status"])
    assert "install:" not in capsys.readouterr().out


@pytest.mark.parametrize(
    ("name", "value", "says"),
    [
        ("AIOS_ONLY", "metagpt", "adapter metagpt is asked for, and its framework is not installed"),
        ("AIOS_ONLY", "zz", "adapter zz is asked for and does not exist"),
        ("AIOS_LLM", "zz:model", "core zz is asked for and does not exist"),
        ("AIOS_POLICY", "zz", "unknown policy 'zz'"),
        ("AIOS_STRICT", "perhaps", "AIOS_STRICT is 'perhaps'"),
        (
            "AIOS_KERNEL",
            "unix:/tmp/no-kernel-here.sock",
            "the kernel asked for, unix:/tmp/no-kernel-here.sock, is not running",
        ),
        ("AIOS_KERNEL", "nonsense", "is no address of a kernel"),
    ],
)
def test_what_is_asked_for_and_cannot_be_had_is_a_problem(
    name: str, value: str, says: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    """Exit code 1, and a line that says what and why."""
    monkeypatch.setenv(name, value)
    code, found = doctor(capsys)
    assert code == 1
    assert any(says in line for line in found["problems"]), found["problems"]


def test_a_missing_kernel_is_a_problem_where_the_option_asks_for_it(alone: Path, capsys: pytest.CaptureFixture[str]):
    """And a socket that nobody listens on is told from none at all."""
    assert doctor(capsys, "--kernel", f"unix:{alone}/none.sock")[0] == 1
    with socket.socket(socket.AF_UNIX) as left:
        left.bind(f"{alone}/left.sock")
    found = doctor(capsys, "--kernel", f"unix:{alone}/left.sock")[1]
    assert found["daemon"]["state"] == "not reachable"
    assert "takes it over" in found["problems"][0]


def test_a_token_is_never_shown(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    """Secrets stay where they are."""
    monkeypatch.setenv("AIOS_TOKEN", "s3cret")
    main(["doctor"])
    main(["doctor", "--json"])
    assert "s3cret" not in capsys.readouterr().out


def test_a_framework_with_the_wrong_neighbours_is_named(monkeypatch: pytest.MonkeyPatch):
    """Open Interpreter beside a setuptools without pkg_resources: installed, ready by its version, and broken."""
    from aios_adapters.adapter import Adapter

    versions = {"open-interpreter": "0.4.3", "setuptools": "82.0.1", "click": "8.1.8"}
    monkeypatch.setattr(_remedies, "_version", versions.get)
    monkeypatch.setattr(Adapter, "version", lambda self: "0.4.3")
    monkeypatch.setattr(Adapter, "package", lambda self: "open-interpreter")
    tested = ("0.4.3", "0.4.3")
    open_interpreter = Adapter(name="open_interpreter", module="interpreter", patches=(), tested=tested)
    row = checks._adapter(open_interpreter)
    assert (row["state"], row["reason"]) == ("unmet", "setuptools 82.0.1 is installed, and it needs setuptools<81")
    assert "pkg_resources" in row["remedy"]
    del versions["setuptools"]
    assert checks._adapter(open_interpreter)["reason"] == "setuptools<81 is not installed"


@pytest.mark.parametrize(("body", "works"), [("exit 0", True), ("echo no namespaces >&2; exit 1", False)])
def test_a_sandbox_that_may_not_work_here_is_told_from_one_that_does(
    body: str, works: bool, alone: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    """Bubblewrap is tried, not only looked for."""
    tool = alone / "bwrap"
    tool.write_text(f"#!/bin/sh\n{body}\n", encoding="utf-8")
    tool.chmod(0o755)
    monkeypatch.setenv("PATH", f"{alone}:/usr/bin:/bin")
    sandbox = doctor(capsys)[1]["sandbox"]
    assert sandbox == {"bubblewrap": str(tool), "works": works, "reason": "" if works else "no namespaces"}
    assert sys.modules.get("interpreter") is None


def test_status_in_a_program_names_the_same_remedies():
    """`aios_adapters.status()` says how to install what is missing, as doctor does."""
    import aios_adapters

    aios_adapters.enable()
    try:
        status = aios_adapters.status()
        assert status["ag2"].remedy == "pip install 'ag2>=1.2'"
        assert status["context"].remedy == ""
    finally:
        aios_adapters.disable()
