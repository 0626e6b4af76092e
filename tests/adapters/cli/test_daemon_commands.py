"""The commands that ask a shared kernel, against a daemon in this process; `aios top` in a real terminal."""

from __future__ import annotations

import contextlib
import io
import json
import os
import pty
import re
import select
import subprocess
import sys
import termios
import threading
import time
from collections.abc import Callable, Generator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, TextIO, cast

import pytest

from aios_adapters.cli import main
from aios_adapters.cli.keyboard import Keyboard
from aios_kernel import Agent, AgentKilled, ChatCall, Kernel, Usage
from aios_kernel.address import Address
from tests.support.waiting import PATIENCE, wait_until

pytest.importorskip("uvicorn")


@pytest.fixture
def kernel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Generator[Kernel, None, None]:
    """A kernel that a daemon in this process shows to the commands, under AIOS_KERNEL."""
    from aios_integrations.server import Daemon

    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    monkeypatch.delenv("AIOS_TOKEN", raising=False)
    kernel, address = Kernel(limits={"llm:*": {"in_flight": 1}}), Address(path=str(tmp_path / "k.sock"))
    monkeypatch.setenv("AIOS_KERNEL", str(address))
    ready = threading.Event()
    with Daemon(address, drain=1) as daemon:
        thread = threading.Thread(target=daemon.run, args=(kernel, lambda listening: ready.set()))
        thread.start()
        try:
            assert ready.wait(PATIENCE)
            yield kernel
        finally:
            daemon.stop()
            thread.join(PATIENCE)
            assert not thread.is_alive()


def aios(capsys: pytest.CaptureFixture[str], *argv: str) -> tuple[int, str, str]:
    code = main(argv)
    said = capsys.readouterr()
    return code, said.out, said.err


def call(kernel: Kernel, name: str, tokens: int = 0) -> None:
    with kernel.syscall(ChatCall(model="m", agent=Agent(name=name))) as grant:
        grant.report(Usage(output_tokens=tokens))


def pid(kernel: Kernel, name: str) -> int:
    return kernel.spawn(Agent(name=name)).pid


def test_ps_kill_pause_resume_and_priority(kernel: Kernel, capsys: pytest.CaptureFixture[str]):
    """What a script does: look, hold, let go on, re-rank, end; exit codes say whether it went."""
    call(kernel, "ann", 7)
    ann = str(pid(kernel, "ann"))
    code, out, _ = aios(capsys, "ps")
    assert code == 0
    assert re.search(rf"^ *{ann}  ann .* idle +10 +1 +0 +0 +0 +7 ", out, re.MULTILINE), out
    assert (
        next(one for one in json.loads(aios(capsys, "ps", "--json")[1]) if one["name"] == "ann")["output_tokens"] == 7
    )
    assert aios(capsys, "pause", ann) == (0, f"{ann} ann: paused\n", "")
    assert aios(capsys, "resume", ann) == (0, f"{ann} ann: idle\n", "")
    assert aios(capsys, "priority", ann, "2") == (0, f"{ann} ann: priority 2\n", "")
    assert aios(capsys, "kill", "77", ann) == (1, f"{ann} ann: killed\n", f"aios: unknown pid 77. Known: 1, {ann}.\n")
    with pytest.raises(AgentKilled):
        call(kernel, "ann")
    assert " ann " not in aios(capsys, "ps")[1]
    assert " killed " in aios(capsys, "ps", "--all")[1]


def test_policy(kernel: Kernel, capsys: pytest.CaptureFixture[str]):
    """Show, set for a pattern, and refuse what does not exist."""
    call(kernel, "ann")
    assert "*        fifo" in aios(capsys, "policy", "show")[1]
    code, out, _ = aios(capsys, "policy", "set", "rr:quantum=8", "--resource", "llm:*")
    assert code == 0
    assert re.search(r"^llm:default:m +rr$", out, re.MULTILINE), out
    assert kernel.queue("llm:default:m").policy.quantum == 8
    assert json.loads(aios(capsys, "policy", "set", "las", "--json")[1])["policies"] == {"*": "las"}
    code, out, told = aios(capsys, "policy", "set", "zz")
    assert (code, out) == (2, "")
    assert "unknown policy 'zz'" in told


@pytest.mark.parametrize("argv", [["ps"], ["top", "--once"], ["kill", "1"], ["policy", "show"], ["priority", "1", "2"]])
def test_without_a_kernel_each_says_what_to_start(argv: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    """One line, exit code 1."""
    code, out, told = aios(capsys, *argv, "--kernel", f"unix:{tmp_path}/none.sock")
    assert (code, out) == (1, "")
    assert "start one: aios serve" in told
    assert len(told.splitlines()) == 1


def test_top_once_gives_rates_and_waits(kernel: Kernel, capsys: pytest.CaptureFixture[str]):
    """In the look's interval: tokens per second, calls per second and the mean wait of those who had their turn."""
    stop = threading.Event()

    def work() -> None:
        while not stop.is_set():
            call(kernel, "ann", 10)

    with ThreadPoolExecutor(1) as pool:
        future = pool.submit(work)
        code, out, _ = aios(capsys, "top", "--once", "--json", "--interval", "0.3")
        text = aios(capsys, "top", "--once", "--interval", "0.1")[1]
        stop.set()
        future.result(PATIENCE)
    seen = json.loads(out)
    ann = next(one for one in seen["agents"] if one["name"] == "ann")
    assert code == 0
    assert ann["tokens_per_second"] > 0 < seen["resources"][0]["calls_per_second"]
    assert ann["tokens_per_second"] == pytest.approx(10 * ann["calls_per_second"], rel=0.2)
    assert ann["mean_wait"] >= 0
    assert "tokens/s" in text
    assert "ann" in text


def test_top_wants_a_terminal_and_json_wants_once(kernel: Kernel, capsys: pytest.CaptureFixture[str]):
    """A script that asks for the live view is told how to ask."""
    assert aios(capsys, "top")[::2] == (
        2,
        "aios: the live view needs a terminal; for scripts: aios top --once [--json]\n",
    )
    assert aios(capsys, "top", "--json")[0] == 2


def test_top_without_rich_says_what_to_install(kernel: Kernel, capsys: pytest.CaptureFixture[str], monkeypatch: Any):
    """And the machine-readable form works without it."""
    for name in [name for name in sys.modules if name.split(".")[0] == "rich" or name == "aios_adapters.cli.screen"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "rich", None)
    monkeypatch.setitem(sys.modules, "rich.console", None)
    code, _, told = aios(capsys, "top", "--once", "--interval", "0.05")
    assert (code, "aios-adapters[top]" in told) == (2, True)
    assert aios(capsys, "top", "--once", "--json", "--interval", "0.05")[0] == 0


# In a terminal ---------------------------------------------------------------------------------------------------------


class Terminal:
    """`aios top` in a pseudo terminal of 100 x 30."""

    def __init__(self, *options: str) -> None:
        self.master, slave = pty.openpty()
        termios.tcsetwinsize(self.master, (30, 100)) if hasattr(termios, "tcsetwinsize") else None
        self.slave, self.before = slave, termios.tcgetattr(slave)
        self.seen = ""
        environ = {**os.environ, "TERM": "xterm-256color", "COLUMNS": "100", "LINES": "30"}
        self.program = subprocess.Popen(
            [sys.executable, "-m", "aios_adapters", "top", "--interval", "0.2", *options],
            stdin=slave, stdout=slave, stderr=slave, env=environ, start_new_session=True,
        )  # fmt: skip

    def read(self) -> str:
        """What has come since the last read."""
        found = b""
        while select.select([self.master], [], [], 0.05)[0]:
            with contextlib.suppress(OSError):
                found += os.read(self.master, 65536)
        text = re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", found.decode("utf-8", "replace"))
        self.seen += text
        return text

    def until(self, condition: Callable[[], object]) -> None:
        """Keep reading, as a terminal does, until the condition holds."""
        end = time.monotonic() + PATIENCE
        while not condition():
            self.read()
            assert time.monotonic() < end, self.seen[-3000:]
            assert self.program.poll() is None, self.seen[-3000:]

    def type(self, keys: str) -> None:
        os.write(self.master, keys.encode())

    def end(self) -> int:
        """Wait for the program's end; the terminal must be as it was."""
        deadline = time.monotonic() + PATIENCE
        while self.program.poll() is None and time.monotonic() < deadline:
            self.read()
        code = self.program.wait(1)
        assert termios.tcgetattr(self.slave) == self.before
        os.close(self.master)
        os.close(self.slave)
        return code


def test_top_s_keys_pause_re_rank_and_kill(kernel: Kernel):
    """In a real terminal: select an agent, hold it, let it go on, change its priority, kill it after a question, quit."""
    for name in ("ann", "bob"):
        call(kernel, name)
    ann = kernel.spawn(Agent(name="ann"))
    terminal = Terminal()
    try:
        terminal.until(lambda: "ann" in terminal.seen and "tokens/s" in terminal.seen)
        terminal.type("p")
        terminal.until(lambda: "select an agent first" in terminal.seen)
        assert not ann.paused
        terminal.type("\x1b[B")  # root
        terminal.until(terminal.read)
        terminal.type("\x1b[B")  # ann
        terminal.until(terminal.read)
        terminal.type("p")
        terminal.until(lambda: ann.paused and "ann (pid 2): paused" in terminal.seen)
        terminal.type("p")
        terminal.until(lambda: not ann.paused)
        terminal.type("+")
        terminal.until(lambda: ann.priority == 9)
        terminal.type("-")
        terminal.until(lambda: ann.priority == 10)
        terminal.type("k")
        terminal.until(lambda: "kill ann (pid 2)?" in terminal.seen)
        terminal.type("n")
        terminal.until(terminal.read)
        assert not ann.killed
        terminal.type("k")
        terminal.until(lambda: terminal.seen.count("kill ann (pid 2)?") >= 2)
        terminal.type("y")
        terminal.until(lambda: ann.killed)
        terminal.type("q")
        assert terminal.end() == 0
    finally:
        terminal.program.kill()
        terminal.program.wait()
    assert not kernel.spawn(Agent(name="bob")).killed


def test_keys_typed_ahead_are_all_read_in_order():
    """A quick typist loses none, arrows and the rest of a piece included."""
    master, slave = pty.openpty()
    with os.fdopen(slave, "r+b", buffering=0) as stream, Keyboard(cast("TextIO", stream)) as keyboard:
        os.write(master, b"p\x1b[B\x1bOAky")
        assert [keyboard.key(PATIENCE) for _ in range(5)] == ["p", "down", "up", "k", "y"]
        assert keyboard.key(0) == ""
    os.close(master)


def test_top_restores_the_terminal_on_ctrl_c_and_when_the_kernel_goes(kernel: Kernel):
    """Whatever ends it: the terminal is as before, and the reason is a line, not a traceback."""
    terminal = Terminal()
    terminal.until(lambda: "aios top" in terminal.seen)
    terminal.program.send_signal(2)
    assert terminal.end() == 130
    terminal = Terminal()
    terminal.until(lambda: "aios top" in terminal.seen)
    Path(os.environ["AIOS_KERNEL"].removeprefix("unix:")).unlink()
    assert terminal.end() == 1
    assert "no kernel runs at" in terminal.seen
    assert "Traceback" not in terminal.seen


def test_a_screen_of_many_agents_fits_and_shows_the_selected_one():
    """3,000 agents and 40 resources on 24 lines of 80 columns: the selected agent is there, nothing is cut."""
    pytest.importorskip("rich")
    from rich.console import Console

    from aios_adapters.cli.sampling import frame
    from aios_adapters.cli.screen import View, render
    from aios_kernel.protocol import encode_status

    kernel = Kernel()
    for number in range(3_000):
        kernel.spawn(Agent(name=f"agent {number}"))
    for number in range(40):
        call(kernel, f"agent {number}")
        with kernel.syscall(ChatCall(model=f"model {number}", agent=Agent(name="agent 7"))):
            pass
    status = {"server": {"now": 1.0}, "policies": {"*": "fifo"}, **encode_status(kernel.status())}
    for size in ((80, 24), (200, 60)):
        output = io.StringIO()
        console = Console(file=output, width=size[0], height=size[1])
        console.print(render(frame(status, status), View(selected=1_500), size=size, title="here"))
        lines = output.getvalue().rstrip("\n").split("\n")
        assert len(lines) <= size[1]
        assert all(len(line) <= size[0] for line in lines)
        assert any("agent 1498" in line for line in lines), "\n".join(lines)
        assert "of 3001 agents" in output.getvalue()


def test_a_program_under_aios_run_uses_the_shared_kernel(kernel: Kernel, tmp_path: Path):
    """Its calls are scheduled by the daemon, and its summary says so; without the daemon it is told before it runs."""
    from aios_evals.endpoint import Endpoint

    program = tmp_path / "ask.py"
    program.write_text(
        "import openai, sys\n"
        "client = openai.OpenAI(base_url=sys.argv[1], api_key='k', max_retries=0)\n"
        "client.chat.completions.create(model='m', messages=[{'role': 'user', 'content': 'hello'}])\n",
        encoding="utf-8",
    )
    with Endpoint() as endpoint:
        argv = [sys.executable, "-m", "aios_adapters", "run", "--summary", str(program), endpoint.base_url]
        done = subprocess.run(argv, capture_output=True, text=True, timeout=120, check=False)
        assert (done.returncode, done.stdout) == (0, ""), done.stderr
        assert "openai 1" in done.stderr
        assert [row["granted"] for row in kernel.status().resources if row["resource"].endswith(":m")] == [1]
        nobody = [*argv[:4], "--kernel", f"unix:{tmp_path}/none.sock", *argv[4:]]
        done = subprocess.run(nobody, capture_output=True, text=True, timeout=120, check=False)
        assert (done.returncode, done.stdout, len(endpoint.requests)) == (1, "", 1)
        assert "start one: aios serve" in done.stderr


def test_a_kill_reaches_agents_of_other_processes(kernel: Kernel, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    """A client's waiting call and its served one fail with AgentKilled; a client that comes back is another agent."""
    from aios_adapters.remote import RemoteKernel

    kernel.set_priority(1, 1)  # the kernel's own root agent holds the only slot
    remote = RemoteKernel(os.environ["AIOS_KERNEL"])
    with ThreadPoolExecutor(1) as pool, kernel.syscall(ChatCall(model="m")):

        def far() -> None:
            with remote.syscall(ChatCall(model="m", agent=Agent(name="far"))):
                pass

        future = pool.submit(far)
        wait_until(lambda: any(one["waiting"] and one["name"] == "far" for one in kernel.status().agents))
        number = next(one["pid"] for one in kernel.status().agents if one["name"] == "far")
        assert aios(capsys, "kill", str(number)) == (0, f"{number} far: killed\n", "")
        with pytest.raises(AgentKilled):
            future.result(PATIENCE)
    with pytest.raises(AgentKilled):
        far()
    remote.close()
    wait_until(lambda: kernel.processes.get(number) is None)
    remote = RemoteKernel(os.environ["AIOS_KERNEL"])
    far()
    remote.close()
