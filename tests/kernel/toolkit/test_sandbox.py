"""The sandbox: code inside reaches nothing outside, ends in its time, and without bubblewrap does not run."""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import threading
from pathlib import Path

import pytest

from aios_kernel.abi import Agent, ToolCall
from aios_kernel.errors import ToolTimeout, ToolUnavailable
from aios_kernel.kernel import Kernel
from aios_kernel.toolkit import ToolManager
from aios_kernel.toolkit.sandbox import Limits, Sandbox
from aios_kernel.toolkit.shipped.code import code_tools
from tests.support.waiting import PATIENCE, wait_until

BOXED = Sandbox(limits=Limits(seconds=60))
inside = pytest.mark.skipif(not BOXED.protected, reason=f"no sandbox here: {BOXED.why_not()}")


def _alive(mark):
    """The processes whose command line has the mark in it."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):
            if mark in path.read_bytes().decode("utf-8", "replace"):
                found.append(path)
    return found


@inside
def test_code_runs():
    """Output, errors and exit codes come back."""
    ran = BOXED.python("import sys; print('out ä'); print('err', file=sys.stderr); sys.exit(3)")
    assert (ran.exit_code, ran.stdout, ran.stderr) == (3, "out ä\n", "err\n")
    ran = BOXED.shell("for i in 1 2 3; do echo $i; done > /tmp/x; wc -l < /tmp/x")
    assert (ran.exit_code, ran.stdout.strip()) == (0, "3")
    assert "SyntaxError" in BOXED.python("def").stderr


@inside
def test_what_code_tries_to_reach(tmp_path, monkeypatch):
    """No file of the host, no variable, no process, no network, no root, nothing to write but /tmp: all in one run each."""
    secret = tmp_path / "secret"
    secret.write_text("PLANTED")
    monkeypatch.setenv("PLANTED_KEY", "PLANTED")
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        attempts = {
            "a file of the host": f"open({str(secret)!r}).read()",
            "the home directory": f"__import__('os').listdir({str(Path.home())!r}).index('.bashrc')",
            "passwords": "open('/etc/shadow').read()",
            "a variable": "__import__('os').environ['PLANTED_KEY']",
            "the parent's variables": "1/(b'PLANTED' in open('/proc/1/environ', 'rb').read())",
            "the loopback": f"__import__('socket').create_connection(('127.0.0.1', {port}), 3)",
            "the internet": "__import__('socket').create_connection(('1.1.1.1', 53), 3)",
            "a name": "__import__('socket').getaddrinfo('example.org', 80)",
            "the system": "open('/usr/bin/mine', 'w')",
            "the root": "open('/mine', 'w')",
            "its own code": "open('/code/main', 'w')",
            "to be root": "__import__('os').setuid(0)",
            "to mount": "__import__('os').chroot('/tmp')",
            "another's process": f"__import__('os').kill({os.getpid()}, 0)",
            "a device": "open('/dev/mem', 'rb')",
            "more memory": "bytearray(10**10)",
            "a larger file": "open('/tmp/f', 'wb').write(bytes(2**27))",
            "a higher limit": "(lambda r: r.setrlimit(r.RLIMIT_NPROC, (10**5, 10**5)))(__import__('resource'))",
        }
        code = "import json, sys\nsys.setrecursionlimit(10**6)\ngot = []\n"
        for name, attempt in attempts.items():
            code += f"try:\n    {attempt}\n    got.append({name!r})\nexcept (Exception, MemoryError): pass\n"
        ran = BOXED.python(f"{code}print(json.dumps(got))")
    assert (ran.stdout, ran.stderr) == ("[]\n", "")


@inside
@pytest.mark.parametrize(
    ("code", "limits"),
    [
        ("while True: pass", Limits(cpu_seconds=1, seconds=60)),
        ("import time; time.sleep(600)", Limits(seconds=1)),
        ("import subprocess; subprocess.run(['sleep', '601'])", Limits(seconds=1)),
        (
            "import os, time\nif os.fork() == 0:\n    os.setsid(); time.sleep(602)\nelse: time.sleep(600)",
            Limits(seconds=1),
        ),
    ],
    ids=["cpu", "sleep", "child", "daemon"],
)
def test_code_that_does_not_end(code, limits):
    """It is killed with all that it started."""
    ran = Sandbox(limits=limits).python(code)
    assert ran.exit_code != 0
    assert ran.timed_out is (limits.seconds == 1)
    for mark in ("sleep\x00601", "time.sleep(602)"):
        wait_until(lambda mark=mark: not _alive(mark))


@inside
def test_processes_and_disk_are_bounded():
    """A program that forks without end is stopped at its limit, and /tmp is full at its own."""
    box = Sandbox(limits=Limits(processes=8, tmp=2**20, files=2**20, seconds=60))
    ran = box.python(
        "import os, time\nmade = 0\n"
        "try:\n    for _ in range(100):\n        if os.fork() == 0: time.sleep(30); os._exit(0)\n        made += 1\n"
        "except OSError: pass\nprint(made)"
    )
    assert 1 <= int(ran.stdout) <= 8
    ran = box.python("for n in range(4): open(f'/tmp/{n}', 'wb').write(bytes(2**19))")
    assert "No space left on device" in ran.stderr


@inside
def test_runs_are_apart():
    """What one run leaves in /tmp, the next does not see."""
    assert BOXED.shell("echo x > /tmp/left; ls /tmp").stdout == "left\n"
    assert BOXED.shell("ls /tmp").stdout == ""


@inside
def test_output_is_bounded():
    """A flood is cut, and neither fills memory nor blocks the program."""
    ran = Sandbox(limits=Limits(output=1000, seconds=60)).python("print('x' * 5_000_000); print('end')")
    assert (len(ran.stdout), ran.truncated, ran.exit_code) == (1000, True, 0)


@inside
def test_what_is_made_readable(tmp_path):
    """A directory named for it is seen, and cannot be written to."""
    (tmp_path / "data").write_text("seen")
    tmp_path.chmod(0o755)
    ran = Sandbox(readable=[tmp_path]).shell(f"cat {tmp_path}/data; touch {tmp_path}/x || echo read-only")
    assert ran.stdout == "seenread-only\n"


@inside
def test_the_tools(tmp_path):
    """`aios/python` and `aios/shell` through the gate; a call that is left kills its processes."""
    kernel = Kernel(managers=[ToolManager(shipped=code_tools(BOXED), load_entry_points=False)])
    for name, code in (("aios/python", "print(6 * 7)"), ("aios/shell", "echo $((6 * 7))")):
        with kernel.syscall(ToolCall(name=name, arguments={"code": code})) as grant:
            assert grant.reply().data == {"exit_code": 0, "stdout": "42\n", "stderr": ""}
    with kernel.syscall(ToolCall(name="aios/shell", arguments={"code": "exec sleep 603"})):
        wait_until(lambda: _alive("sleep\x00603"))
    wait_until(lambda: not _alive("sleep\x00603") and not kernel.running)
    kernel.close()


@inside
def test_a_killed_agent_s_code_ends():
    """The processes of a killed agent are killed."""
    kernel = Kernel(managers=[ToolManager(shipped=code_tools(BOXED), load_entry_points=False)])
    ends = []

    def call():
        try:
            with kernel.syscall(
                ToolCall(agent=Agent(name="ann"), name="aios/shell", arguments={"code": "exec sleep 604"})
            ) as g:
                g.reply()
        except PermissionError as error:
            ends.append(error)

    thread = threading.Thread(target=call, daemon=True)
    thread.start()
    wait_until(lambda: _alive("sleep\x00604"))
    kernel.kill(next(row["pid"] for row in kernel.status().agents if row["name"] == "ann"))
    thread.join(PATIENCE)
    assert len(ends) == 1
    wait_until(lambda: not _alive("sleep\x00604"))
    kernel.close()


def test_without_bubblewrap_code_is_refused(tmp_path):
    """The error names what is missing and both remedies; nothing was run; the list shows it."""
    box = Sandbox(bwrap="no-such-bwrap")
    kernel = Kernel(managers=[ToolManager(shipped=code_tools(box), load_entry_points=False)])
    mark = tmp_path / "ran"
    for name, code in (("aios/python", f"open({str(mark)!r}, 'w')"), ("aios/shell", f"touch {mark}")):
        call = ToolCall(name=name, arguments={"code": code})
        with pytest.raises(ToolUnavailable) as caught, kernel.syscall(call) as grant:
            grant.reply()
        for part in ("no-such-bwrap", "Install bubblewrap", "allow_unsandboxed=True"):
            assert part in str(caught.value)
    with pytest.raises(ToolUnavailable):
        box.python("print(1)")
    assert not mark.exists()
    kernel.close()


def test_bubblewrap_that_does_not_work_is_as_good_as_none(tmp_path):
    """Its own words are in the error."""
    broken = tmp_path / "bwrap"
    broken.write_text("#!/bin/sh\necho namespaces are forbidden >&2\nexit 1\n")
    broken.chmod(0o755)
    assert "namespaces are forbidden" in str(Sandbox(bwrap=str(broken)).why_not())


def test_unsandboxed_by_explicit_choice():
    """It runs with limits in a folder of its own, ends in its time with its processes, and counts as destructive."""
    box = Sandbox(bwrap="no-such-bwrap", allow_unsandboxed=True, limits=Limits(seconds=30, cpu_seconds=20))
    assert (box.why_not(), box.protected) == (None, False)
    ran = box.python("import os, resource; print(os.listdir(), resource.getrlimit(resource.RLIMIT_CPU)[0])")
    assert ran.stdout == "['main'] 20\n"
    assert all(tool.destructive for tool in code_tools(box))
    ran = Sandbox(bwrap="no-such-bwrap", allow_unsandboxed=True, limits=Limits(seconds=1)).shell(
        "sleep 605 & sleep 606"
    )
    assert ran.timed_out
    wait_until(lambda: not _alive("sleep\x00605") and not _alive("sleep\x00606"))


@pytest.mark.skipif(
    os.name != "posix" or os.getuid() != 0 or shutil.which("setpriv") is None, reason="needs root to give up"
)
@inside
def test_without_root(tmp_path):
    """An ordinary user's sandbox has a user namespace, and the same limits hold."""
    if shutil.which("python3", path="/usr/bin") is None:
        pytest.skip("no Python that another user can read")
    root = Path(__file__).parents[3]
    target = tmp_path / "kernel"
    shutil.copytree(
        root / "kernel" / "aios_kernel", target / "aios_kernel", ignore=shutil.ignore_patterns("*.bin", "__pycache__")
    )
    for folder in (tmp_path, *tmp_path.parents[:2]):
        folder.chmod(0o755)
    script = (
        "from aios_kernel.toolkit.sandbox import Sandbox, Limits\n"
        "box = Sandbox(limits=Limits(processes=8, seconds=60))\n"
        "print(box.why_not(), box.python('import os\\nprint(os.getuid())\\nfor i in range(50):\\n  if not os.fork(): import time; time.sleep(9)'))"
    )
    import subprocess

    command = ["setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups", "/usr/bin/python3", "-c", script]
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=90, env={"PYTHONPATH": str(target)}, cwd="/", check=False
    )
    if "does not work here" in done.stdout:
        pytest.skip(done.stdout[:300])
    assert "BlockingIOError" in done.stdout, done.stderr
    assert "65534" in done.stdout


def test_a_slow_probe_is_bounded():
    """Limits are above zero, and a timeout of the tool is beyond that of its code."""
    with pytest.raises(ValueError, match="above 0"):
        Limits(seconds=0)
    assert all(tool.timeout and tool.timeout > BOXED.limits.seconds for tool in code_tools(BOXED))
    assert issubclass(ToolTimeout, TimeoutError)
