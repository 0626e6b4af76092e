"""`aios access`, `approvals` and `audit`: as a person uses them, over files and over a daemon."""

from __future__ import annotations

import json
import os
import select
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from aios_adapters.cli import main
from aios_kernel.abi import Agent, ToolCall
from aios_kernel.access import AccessManager, AuditLog, Pending, Policy, verify
from aios_kernel.errors import AccessDenied
from aios_kernel.kernel import Kernel
from tests.support.waiting import wait_until

POLICY = """\
[groups]
research = ["alice"]

[[rules]]
name = "library"
who = "group:research"
do = "reads"
to = "memory:library"
effect = "allow"
"""
PATIENCE = 20


@pytest.fixture
def policy(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("AIOS_ACCESS", raising=False)
    file = tmp_path / "aios-access.toml"
    file.write_text(POLICY)
    return file


def test_check(policy, capsys):
    """What is in a valid file; what is wrong with another, with its line, and exit code 2."""
    assert main(["access", "check", str(policy)]) == 0
    assert "1 rules, 1 groups, default deny: valid" in capsys.readouterr().out
    policy.write_text(POLICY.replace("effect", "efect"))
    assert main(["access", "check", str(policy)]) == 2
    assert f"aios: {policy}:9: rule 1: unknown key 'efect' (did you mean 'effect'?)" in capsys.readouterr().err
    assert main(["access", "check", "none.toml"]) == 2
    assert "none.toml cannot be read" in capsys.readouterr().err


def test_explain(policy, capsys, monkeypatch):
    """Which rule decides and why, for people and for programs; the file from an option, the environment or the folder."""
    assert main(["access", "explain", "alice", "memory.get", "memory:library"]) == 0
    assert capsys.readouterr().out == (
        "allow: alice memory.get memory:library\n"
        "  by      rule 1 'library' (line 4)\n"
        "  because the only rule that fits\n"
        "  groups  research\n"
    )
    monkeypatch.setenv("AIOS_ACCESS", str(policy))
    monkeypatch.chdir("/")
    assert main(["access", "explain", "bob", "memory.get", "memory:library", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {
        "agent": "bob", "groups": [], "action": "memory.get", "target": "memory:library", "effect": "deny",
        "rule": "default", "why": "no rule fits, and the default is 'deny'", "matched": [],
    }  # fmt: skip
    assert main(["access", "explain", "bob", "get", "library"]) == 2
    assert "say KIND.VERB and KIND:NAME" in capsys.readouterr().err


def _wait_for(kernel, agent, arguments=None):
    found = []

    def run():
        try:
            with kernel.syscall(ToolCall(agent=Agent(name=agent), name="danger", arguments=arguments, lease=True)):
                found.append("ran")
        except AccessDenied as error:
            found.append(str(error))

    thread = threading.Thread(target=run)
    thread.start()
    return thread, found


def test_approvals(tmp_path, capsys, monkeypatch):
    """List shows each question in full and hides nothing; allow and deny reach the calls; a second word is an error."""
    monkeypatch.setenv("AIOS_APPROVALS", str(tmp_path / "a.db"))
    assert main(["approvals", "list"]) == 0
    assert capsys.readouterr().out == "0 open\n"
    access = AccessManager(Policy(default="ask"), approver=Pending())
    kernel = Kernel(checks=(access.check,), managers=[access])
    ann = _wait_for(kernel, "ann", {"command": "rm \x1b[2K\u202e x", "token": "abc123abc"})
    bob = _wait_for(kernel, "bob")
    wait_until(lambda: len(Pending().listed()) == 2)
    main(["approvals", "list"])
    text = capsys.readouterr().out
    assert (
        "command: rm \\x1b[2K\\u202e x" in text and "\x1b" not in text and "abc123abc" not in text and "2 open" in text
    )
    main(["approvals", "list", "--json"])
    ids = {one["agent"]: one["id"] for one in json.loads(capsys.readouterr().out)["approvals"]}
    assert main(["approvals", "allow", ids["ann"], "--remember", "60"]) == 0
    assert main(["approvals", "deny", ids["bob"]]) == 0
    for thread, _ in (ann, bob):
        thread.join(30)
    assert ann[1] == ["ran"] and "refused by" in bob[1][0]
    capsys.readouterr()
    assert main(["approvals", "allow", ids["bob"]]) == 2
    assert "unknown open question" in capsys.readouterr().err
    assert main(["approvals", "allow", ids["bob"], "--remember", "0"]) == 2
    again = _wait_for(kernel, "ann")
    again[0].join(30)
    assert again[1] == ["ran"]
    kernel.close()


def test_audit(tmp_path, capsys):
    """A good log says its head, which a later check can be held to; a touched one names the line, with exit code 1."""
    file = tmp_path / "audit.jsonl"
    log = AuditLog(file)
    for number in range(3):
        log.append({"action": f"a{number}"})
    assert main(["audit", "verify", str(file)]) == 0
    text = capsys.readouterr().out
    assert "3 entries, all as they were written" in text and verify(file).head in text
    assert main(["audit", "verify", str(file), "--head", verify(file).head, "--least", "3"]) == 0
    assert main(["audit", "verify", str(file), "--head", "0" * 63]) == 1
    file.write_bytes(file.read_bytes().replace(b'"a1"', b'"b1"'))
    capsys.readouterr()
    assert main(["audit", "verify", str(file), "--json"]) == 1
    found = json.loads(capsys.readouterr().out)
    assert (found["ok"], found["broken"]) == (False, 2)
    assert main(["audit", "verify", str(tmp_path / "none")]) == 2


def test_a_program_under_a_policy_and_a_person_at_another_terminal(tmp_path):
    """An unchanged use of `enable(access=...)`: the program waits, somebody allows it elsewhere, and the log says so."""
    (tmp_path / "p.toml").write_text('default = "ask"\n')
    program = (
        "import aios_adapters; from aios_kernel.abi import ToolCall\n"
        "aios_adapters.enable(access='p.toml', audit='audit.jsonl', only=[])\n"
        "with aios_adapters.session.current().base.syscall(ToolCall(name='t', lease=True)): print('ran')\n"
    )
    environ = {**os.environ, "AIOS_APPROVALS": str(tmp_path / "a.db")}
    running = subprocess.Popen(
        [sys.executable, "-c", program],
        cwd=tmp_path,
        env=environ,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        text=True,
    )
    desk = Pending(tmp_path / "a.db")
    wait_until(lambda: desk.listed() or running.poll() is not None)
    number = desk.listed()[0]["id"]
    told = subprocess.run(
        [sys.executable, "-m", "aios_adapters", "approvals", "allow", number],
        env=environ, capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert told.stdout == "allowed: 'root' 'tool.run' 'tool:t'\n"
    assert running.communicate(timeout=PATIENCE)[0] == "ran\n"
    entries = [json.loads(line) for line in (tmp_path / "audit.jsonl").read_text().splitlines()]
    assert [one["decision"] for one in entries] == ["ask", "allow"] and entries[1]["by"]
    assert verify(tmp_path / "audit.jsonl").ok


def test_over_a_daemon(tmp_path, capsys, monkeypatch):
    """`aios serve --access`: a client's call waits for `aios approvals --kernel`; what the policy denies is refused there."""
    pytest.importorskip("uvicorn")
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    (tmp_path / "p.toml").write_text(
        'default = "allow"\n[[rules]]\nto="tool:danger"\neffect="ask"\n[[rules]]\nto="tool:no"\neffect="deny"\n'
    )
    address = f"unix:{tmp_path}/k.sock"
    command = [
        sys.executable,
        "-m",
        "aios_adapters",
        "serve",
        "--socket",
        f"{tmp_path}/k.sock",
        "--access",
        "p.toml",
        "--audit",
        "a.jsonl",
    ]
    daemon = subprocess.Popen(
        command, cwd=tmp_path, env={**os.environ, "XDG_RUNTIME_DIR": str(tmp_path)}, stdout=subprocess.PIPE, text=True
    )
    try:
        assert daemon.stdout is not None
        assert select.select([daemon.stdout], [], [], 60)[0] and "ready" in daemon.stdout.readline()
        from aios_adapters.remote import RemoteKernel

        kernel = RemoteKernel(address)
        with pytest.raises(AccessDenied, match="rule 2"), kernel.syscall(ToolCall(name="no", lease=True)):
            pytest.fail("it ran")
        thread, found = _wait_for(kernel, "ann", {"password": "hunter2", "x": 1})
        listed = []

        def listing():
            capsys.readouterr()
            main(["approvals", "list", "--kernel", address, "--json"])
            listed[:] = json.loads(capsys.readouterr().out)["approvals"]
            return listed

        wait_until(listing)
        assert listed[0]["arguments"]["x"] == 1 and "hunter2" not in json.dumps(listed)
        assert main(["approvals", "allow", "nobody", "--kernel", address]) == 2
        assert main(["approvals", "allow", listed[0]["id"], "--kernel", address]) == 0
        thread.join(30)
        assert found == ["ran"]
        kernel.close()
    finally:
        daemon.terminate()
        daemon.communicate(timeout=60)
    assert verify(tmp_path / "a.jsonl").ok
    assert "hunter2" not in (tmp_path / "a.jsonl").read_text()
    assert (Path(tmp_path) / "a.jsonl").read_text().count('"decision":"allow"') == 1
