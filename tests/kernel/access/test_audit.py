"""The audit log: every touch of a written entry is found, also by several processes that write, and by what a crash leaves."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from aios_kernel.abi import AccessCall, Agent, ToolCall
from aios_kernel.access import AccessManager, Answer, AuditLog, Callback, Policy, parse, verify
from aios_kernel.errors import AccessDenied
from aios_kernel.kernel import Kernel
from aios_kernel.secrets import MARK

ENTRIES = 12


@pytest.fixture
def file(tmp_path):
    log = AuditLog(tmp_path / "audit.jsonl", now=lambda: 1.5)
    for number in range(ENTRIES):
        log.append({"action": f"a{number}", "arguments": {"x": number, "y": "line\nline \u202e"}})
    log.close()
    return log.path


def _lines(file):
    return file.read_bytes().splitlines(keepends=True)


def test_whole(file):
    """A log that nobody touched is right, and its entries are numbered and timed."""
    found = verify(file)
    assert found.ok and found.entries == ENTRIES and found.broken == 0
    first = json.loads(_lines(file)[0])
    assert (first["n"], first["time"], first["action"], first["previous"]) == (1, 1.5, "a0", "0" * 64)
    assert verify(file, head=found.head, least=ENTRIES).ok
    assert file.stat().st_mode & 0o777 == 0o600


def _changed(lines, at):
    return [*lines[:at], lines[at].replace(b'"x":', b'"x":1'), *lines[at + 1 :]]


def _flipped(lines, at):
    return [*lines[:at], lines[at][:-4] + b'0"}\n', *lines[at + 1 :]]


TOUCHES = {
    "changed": _changed,
    "hash changed": _flipped,
    "removed": lambda lines, at: lines[:at] + lines[at + 1 :],
    "inserted": lambda lines, at: [*lines[:at], lines[0], *lines[at:]],
    "moved": lambda lines, at: [*lines[:at], lines[at + 1], lines[at], *lines[at + 2 :]],
    "blank": lambda lines, at: [*lines[:at], b"\n", *lines[at:]],
    "spaced": lambda lines, at: [*lines[:at], lines[at].replace(b'","', b'", "', 1), *lines[at + 1 :]],
    "key twice": lambda lines, at: [*lines[:at], lines[at].replace(b'{"n"', b'{"action":"b","n"', 1), *lines[at + 1 :]],
    "no object": lambda lines, at: [*lines[:at], b"3\n", *lines[at + 1 :]],
}


@pytest.mark.parametrize("touch", TOUCHES)
@pytest.mark.parametrize("at", [1, 5, ENTRIES - 2])
def test_touched(file, touch, at):
    """The first line that is not as it was written is named."""
    file.write_bytes(b"".join(TOUCHES[touch](_lines(file), at)))
    found = verify(file)
    assert found.broken == at + 1, found.problem
    assert f"line {at + 1}" in found.problem


def test_written_anew_from_one_entry_on(file, tmp_path):
    """Who makes a new chain from some entry on is found by the head file."""
    other = AuditLog(tmp_path / "other.jsonl")
    for number in range(ENTRIES):
        other.append({"action": f"b{number}"})
    file.write_bytes((tmp_path / "other.jsonl").read_bytes())
    assert "written anew" in verify(file).problem


@pytest.mark.parametrize("kept", [0, 1, ENTRIES - 1])
def test_cut_off_at_the_end(file, kept):
    """The chain that is left is right; the head file tells, and so does a head that was noted; nobody goes on writing."""
    head = verify(file).head
    file.write_bytes(b"".join(_lines(file)[:kept]))
    assert "cut off at the end" in verify(file).problem
    assert "was noted" in verify(file, head=head).problem
    with pytest.raises(AccessDenied, match="cut off"):
        AuditLog(file).append({"action": "more"})
    file.with_name(file.name + ".head").unlink()
    assert "was noted" in verify(file, head=head).problem
    assert "noted" in verify(file, least=ENTRIES).problem
    assert kept == 0 or "head file is missing" in verify(file).problem


def test_a_line_cut_short_by_a_crash(file):
    """The verifier names it; the next entry does not stick to it, and follows the last whole one."""
    with file.open("ab") as stream:
        stream.write(b'{"n":13,"time":2,"acti')
    assert verify(file).broken == ENTRIES + 1
    AuditLog(file).append({"action": "after"})
    lines = _lines(file)
    assert json.loads(lines[-1])["previous"] == json.loads(lines[ENTRIES - 1])["hash"]
    assert verify(file).broken == ENTRIES + 1


def test_an_entry_without_its_head(file):
    """A crash between an entry and its head leaves the head one behind, which is no fault."""
    head = file.with_name(file.name + ".head")
    before = head.read_bytes()
    AuditLog(file).append({"action": "more"})
    head.write_bytes(before)
    assert verify(file).ok
    AuditLog(file).append({"action": "and more"})
    assert verify(file).ok and verify(file).entries == ENTRIES + 2


WRITER = """
import sys, threading
from aios_kernel.access import AuditLog
log = AuditLog(sys.argv[1])
def write(name):
    for number in range(50):
        log.append({"who": name, "number": number, "long": "x" * (number * 40)})
threads = [threading.Thread(target=write, args=(f"{sys.argv[2]}-{n}",)) for n in range(3)]
[t.start() for t in threads]; [t.join() for t in threads]
"""


def test_several_processes_write_one_chain(tmp_path):
    """Four processes of three threads each: every entry is there once, in one unbroken chain."""
    file = tmp_path / "audit.jsonl"
    writers = [subprocess.Popen([sys.executable, "-c", WRITER, str(file), str(n)]) for n in range(4)]
    assert [one.wait(120) for one in writers] == [0] * 4
    assert verify(file).ok
    entries = [json.loads(line) for line in _lines(file)]
    assert len({(one["who"], one["number"]) for one in entries}) == len(entries) == 600


KILLED = """
import sys
from aios_kernel.access import AuditLog
log = AuditLog(sys.argv[1])
number = 0
while True:
    log.append({"number": number}); number += 1
    sys.stdout.write(f"{number}\\n"); sys.stdout.flush()
"""


def test_what_was_written_outlives_a_killed_process(tmp_path):
    """Kill -9 in the middle: all that was acknowledged is there, the chain is right, and the next process goes on."""
    file = tmp_path / "audit.jsonl"
    for _ in range(5):
        with subprocess.Popen([sys.executable, "-c", KILLED, str(file)], stdout=subprocess.PIPE, text=True) as writer:
            assert writer.stdout is not None
            for _ in range(20):
                acknowledged = int(writer.stdout.readline())
            writer.kill()
            rest = [int(line) for line in writer.stdout.read().split("\n") if line]
        found = verify(file)
        assert found.ok, found.problem
        assert found.entries >= max([acknowledged, *rest[:-1]])
    AuditLog(file).append({"action": "after"})
    assert verify(file).ok


def test_a_log_that_cannot_be_written_refuses(tmp_path):
    """No call runs whose decision cannot be recorded."""
    (tmp_path / "folder").mkdir()
    access = AccessManager(Policy(default="allow"), audit=tmp_path / "folder")
    kernel, ran = Kernel(checks=(access.check,)), []
    with pytest.raises(AccessDenied, match="cannot be written"), kernel.syscall(ToolCall(name="t")):
        ran.append(1)
    assert ran == []


def test_an_approval_that_cannot_be_recorded_refuses(tmp_path):
    """A yes that leaves no trace is a no."""
    log = AuditLog(tmp_path / "audit.jsonl")

    def yes_and_break(request):
        log.path.write_bytes(b"")
        return True

    access = AccessManager(Policy(default="ask"), approver=Callback(yes_and_break), audit=log)
    kernel, ran = Kernel(checks=(access.check,)), []
    with pytest.raises(AccessDenied, match="could not be recorded"), kernel.syscall(ToolCall(name="t")):
        ran.append(1)
    assert ran == []


def test_what_is_in_it(tmp_path):
    """Every decision, by whom and why, with arguments where a person decided, and no secret."""
    secret = "ghp_" + "a1B2c3D4e5F6g7H8i9J0k1L2m3N4o5P6q7R8"
    file = tmp_path / "audit.jsonl"
    policy = parse(
        "[groups]\nops=['ann']\n[[rules]]\nto='tool:*'\neffect='allow'\n[[rules]]\nto='tool:no'\neffect='deny'\n"
        "[[rules]]\nto='tool:ask*'\neffect='ask'\n[[rules]]\ndo='access.*'\nto='group:ops'\nwho='ann'\neffect='allow'"
    )
    access = AccessManager(
        policy, audit=file, approver=Callback(lambda r: Answer(allowed=r.target != "tool:ask no", by="eve"))
    )
    kernel = Kernel(checks=(access.check,), managers=[access])
    said = []
    for name in ("fine", "no", "ask yes", "ask no"):
        try:
            with kernel.syscall(
                ToolCall(agent=Agent(name="ann"), name=name, arguments={"a": f"use {secret}", "password": "hunter2"})
            ):
                pass
        except AccessDenied as error:
            said.append(str(error))
    add = AccessCall(
        agent=Agent(name="ann"), action="access.add_privilege", target="group:ops", arguments={"agent": "bob"}
    )
    with kernel.syscall(add) as grant:
        assert grant.reply().data == {"group": "ops", "agent": "bob", "member": True}
    kernel.close()
    text = file.read_text()
    assert len(said) == 2 and secret not in "".join(said)
    assert secret not in text and "hunter2" not in text
    found = [
        (one["action"], one["target"], one["decision"], one.get("by")) for one in map(json.loads, text.splitlines())
    ]
    assert found == [
        ("tool.run", "tool:fine", "allow", None),
        ("tool.run", "tool:no", "deny", None),
        ("tool.run", "tool:ask yes", "ask", None),
        ("tool.run", "tool:ask yes", "allow", "eve"),
        ("tool.run", "tool:ask no", "ask", None),
        ("tool.run", "tool:ask no", "deny", "eve"),
        ("access.add_privilege", "group:ops", "ask", None),
        ("access.add_privilege", "group:ops", "allow", "eve"),
    ]
    assert text.count(MARK) == 6
    assert verify(file).ok


FORKING = """
import os, sys
from aios_kernel.access import AccessManager, AuditLog, Policy
log = AuditLog(sys.argv[1])
log.append({"who": "parent"})
child = os.fork()
if child == 0:
    log.after_fork()
    log.append({"who": "child"})
    os._exit(0)
os.waitpid(child, 0)
log.append({"who": "parent"})
"""


def test_a_forked_child_writes_on(tmp_path):
    """Parent and child share one chain."""
    file = tmp_path / "audit.jsonl"
    subprocess.run([sys.executable, "-c", FORKING, str(file)], check=True)
    assert verify(file).ok
    assert [json.loads(line)["who"] for line in _lines(file)] == ["parent", "child", "parent"]


@given(st.data())
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=150)
def test_no_byte_can_be_changed(file, data):
    """Any change of any bytes of the log, other than what a head file alone tells, is found."""
    whole = file.read_bytes()
    begin = data.draw(st.integers(0, len(whole) - 1))
    end = data.draw(st.integers(begin, min(len(whole), begin + 40)))
    changed = whole[:begin] + data.draw(st.binary(max_size=20)) + whole[end:]
    assume(changed != whole)
    try:
        file.write_bytes(changed)
        assert not verify(file).ok
    finally:
        file.write_bytes(whole)
