"""The terminal: a real one (pty) shows everything and hides nothing, and whatever is not plainly yes is no."""

from __future__ import annotations

import codecs
import contextlib
import os
import pty
import re
import select
import subprocess
import sys
import threading
import time
import unicodedata
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aios_kernel.abi import Agent, ToolCall
from aios_kernel.access import AccessManager, Policy, Request, Terminal, shown, visible
from aios_kernel.access.pending import Pending
from aios_kernel.clock import MockClock
from aios_kernel.errors import AccessDenied
from aios_kernel.kernel import Kernel

PATIENCE = 20
QUESTION = "[n]: "


class Screen:
    """The other end of a terminal: what stands on it, and a keyboard."""

    def __init__(self, master):
        self.master, self.text = master, ""

    def until(self, wanted, count=1):
        end = time.monotonic() + PATIENCE
        while self.text.count(wanted) < count:
            ready, _, _ = select.select([self.master], [], [], max(0, end - time.monotonic()))
            assert ready, f"{wanted!r} did not come: {self.text!r}"
            self.text += os.read(self.master, 65536).decode("utf-8", "replace")
        return self.text

    def type(self, text):
        os.write(self.master, text.encode())


@pytest.fixture
def ends():
    master, slave = pty.openpty()
    with (
        os.fdopen(slave, "r", encoding="utf-8", closefd=False) as source,
        os.fdopen(slave, "w", encoding="utf-8", closefd=False) as sink,
    ):
        yield Screen(master), source, sink
    for fd in (master, slave):
        try:
            os.close(fd)
        except OSError:
            continue


@pytest.fixture
def screen(ends):
    return ends[0]


@pytest.fixture
def kernel(ends):
    clock = MockClock()
    access = AccessManager(Policy(default="ask"), approver=Terminal(ends[1], ends[2]), clock=clock, timeout=60)
    kernel = Kernel(checks=(access.check,), managers=[access])
    yield kernel
    kernel.close()


@pytest.fixture
def clock(kernel):
    return kernel.managers[0]._clock


def _call(kernel, agent="ann", arguments=None):
    found = []

    def run():
        try:
            with kernel.syscall(ToolCall(agent=Agent(name=agent), name="t", arguments=arguments)):
                found.append("ran")
        except AccessDenied as error:
            found.append(str(error))

    thread = threading.Thread(target=run)
    thread.start()
    return thread, found


@pytest.mark.parametrize(
    ("typed", "runs"),
    [
        ("y\n", True),
        ("yes\n", True),
        ("a\n", True),
        ("n\n", False),
        ("\n", False),
        ("sure\n", False),
        ("\x04", False),
        ("y\x04\x04", False),
    ],
)
def test_what_is_typed(kernel, screen, typed, runs):
    """Plainly yes is yes; anything else, and a closed input, is no."""
    thread, found = _call(kernel, arguments={"x": 1})
    screen.until(QUESTION)
    screen.type(typed)
    thread.join(30)
    assert (found == ["ran"]) is runs, found


def test_everything_is_shown(kernel, screen):
    """Names and arguments in full, line by line, with nothing in them that a terminal would act upon or hide."""
    hidden = "rm x \u202e txt.\x1b[2K\x1b[1A\rAllow? y\u200b\u2066\U000e0041 end"
    long = "z" * 20_000
    thread, _ = _call(
        kernel, "ann\x1b[31m", {"command": f"first\n{hidden}\nlast", "long": long, "n": [1, {"k\u202e": "v\n"}]}
    )
    text = screen.until(QUESTION)
    screen.type("n\n")
    thread.join(30)
    body = text[: text.index(QUESTION)]
    assert not set(body) & set("\x1b\u202e\u200b\u2066\U000e0041")
    assert "\r" not in body.replace("\r\n", "")  # the terminal's own line ends
    assert "agent:     ann\\x1b[31m" in body
    assert "rm x \\u202e txt.\\x1b[2K\\x1b[1A\\rAllow? y\\u200b\\u2066\\U000e0041 end" in body
    assert long in body.replace("\r\n", "")
    assert '"k\\u202e": "v\\\\n"' in body
    arguments = body[body.index("arguments:") :].replace("\r", "").split("\n")[1:-1]
    assert arguments[0] == "  | command:" and all(line.startswith("  | ") for line in arguments)


def test_one_question_at_a_time(kernel, screen):
    """Three agents wait; each answer belongs to the question that stood there."""
    calls = {name: _call(kernel, name) for name in ("a1", "a2", "a3")}
    order = []
    for count in (1, 2, 3):
        text = screen.until(QUESTION, count)
        order.append(text.split("agent:     ")[-1].split("\r")[0])
        screen.type("y\n" if count == 2 else "n\n")
    for thread, _ in calls.values():
        thread.join(30)
    assert sorted(order) == ["a1", "a2", "a3"]
    assert [name for name in order if calls[name][1] == ["ran"]] == [order[1]]


@pytest.mark.parametrize("kind", ["terminal", "pending"])
def test_one_thread_asks(ends, tmp_path, kind, monkeypatch):
    """Also where the first questions come at the same time: two threads would take each other's answers."""
    asker = Terminal(ends[1], ends[2]) if kind == "terminal" else Pending(tmp_path / "approvals.db")
    made = []
    both = threading.Barrier(2)

    class Slow(threading.Thread):
        """A thread whose making another one overtakes."""

        def __init__(self, **how):
            made.append(how["name"])
            with contextlib.suppress(threading.BrokenBarrierError):
                both.wait(0.2)
            super().__init__(**how)

    def ask(number):
        asker.ask(Request(agent="a", action="tool.run", targets=(f"tool:{number}",)), lambda _: None)

    callers = [threading.Thread(target=ask, args=(number,)) for number in range(4)]
    monkeypatch.setattr(threading, "Thread", Slow)
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join(PATIENCE)
    asker.close()
    assert len(made) == 1


def test_what_was_typed_ahead_answers_nothing(kernel, screen, clock):
    """A line that was there before the question is thrown away."""
    screen.type("y\ny\n")
    thread, found = _call(kernel)
    screen.until(QUESTION)
    clock.advance(61)
    thread.join(30)
    assert "nobody answered" in found[0]


def test_taken_back_while_it_stands_there(kernel, screen, clock):
    """A question whose time is over gives way to the next; a late line answers the next only if it comes after it."""
    first, found = _call(kernel, "a1")
    screen.until(QUESTION)
    clock.advance(61)
    first.join(30)
    assert "nobody answered" in found[0]
    screen.until("(no longer asked)")
    second, later = _call(kernel, "a2")
    screen.until(QUESTION, 2)
    screen.type("y\n")
    second.join(30)
    assert later == ["ran"]


def test_without_a_terminal():
    """A pipe, a file, a closed stream and none at all: no, at once."""
    reading, writing = os.pipe()
    with os.fdopen(reading) as source, os.fdopen(writing, "w") as sink, Path(os.devnull).open() as null:
        for pair in ((source, sink), (null, null), (source, null)):
            access = AccessManager(Policy(default="ask"), approver=Terminal(*pair))
            kernel = Kernel(checks=(access.check,), managers=[access])
            with pytest.raises(AccessDenied, match="no terminal"), kernel.syscall(ToolCall(name="t")):
                pytest.fail("it ran")
            kernel.close()


def test_a_terminal_that_goes_away(kernel, screen):
    """Closing the window while the question stands there is no."""
    thread, found = _call(kernel)
    screen.until(QUESTION)
    os.close(screen.master)
    thread.join(30)
    assert found[0] != "ran" and "approval" in found[0]


PROGRAM = """
import threading
from aios_kernel.abi import Agent, ToolCall
from aios_kernel.access import AccessManager, Policy, Rule, Terminal
from aios_kernel.kernel import Kernel
access = AccessManager(Policy(default="allow", rules=(Rule(effect="ask", to=("tool:danger",)),)), approver=Terminal())
kernel = Kernel(checks=(access.check,), managers=[access])
for number in range(2):
    try:
        with kernel.syscall(ToolCall(agent=Agent(name="ann"), name="danger")):
            print("ran", flush=True)
    except KeyboardInterrupt:
        print(f"interrupted {len(access.waiting)} {kernel.running}", flush=True)  # in one piece: the terminal has another writer
with kernel.syscall(ToolCall(name="fine")):
    print("fine", flush=True)
print("typed:", input("next? "), flush=True)
"""


def _start(program):
    """Run a program at a terminal of its own, which its Ctrl-C goes to."""
    master, slave = pty.openpty()
    started = subprocess.Popen(
        [sys.executable, "-c", "import fcntl, termios; fcntl.ioctl(0, termios.TIOCSCTTY, 0)\n" + program],
        stdin=slave,
        stdout=slave,
        stderr=slave,
        start_new_session=True,
    )
    os.close(slave)
    return started, Screen(master)


def test_ctrl_c_at_the_prompt():
    """It reaches the program; the call has not run, the question is gone, and the keyboard is the program's again."""
    started, screen = _start(PROGRAM)
    screen.until(QUESTION)
    screen.type("\x03")
    screen.until("interrupted 0 0")
    screen.until(QUESTION, 2)
    screen.type("y\n")
    screen.until("ran\r\n")
    screen.until("next? ")
    screen.type("hello\n")
    screen.until("typed: hello")
    assert started.wait(PATIENCE) == 0
    os.close(screen.master)


def test_a_program_ends_while_a_question_is_open():
    """No thread of ours keeps the program alive."""
    program = PROGRAM.split("for number", maxsplit=1)[0] + (
        "threading.Thread(target=lambda: kernel.syscall(ToolCall(name='danger')).__enter__(), daemon=True).start()\n"
        "while not access.waiting: pass\n"
        "print('end', flush=True)\n"
    )
    started, screen = _start(program)
    screen.until("end")
    assert started.wait(PATIENCE) == 0
    os.close(screen.master)


@pytest.mark.parametrize(
    ("text", "seen"),
    [
        ("plain text 1", "plain text 1"),
        ("a\\u202eb", "a\\\\u202eb"),
        ("a\u00a0b", "a\\xa0b"),
        ("e\u0301", "e\\u0301"),
        ("Grüße 秘密", "Grüße 秘密"),
        ("\u3164\u2800", "\\u3164\\u2800"),
        ("\ud800", "\\ud800"),
        ("a\tb\x7f\x9b", "a\\tb\\x7f\\x9b"),
    ],
)
def test_visible(text, seen):
    """What would be hidden is an escape, an escape that was written is told from one, and letters stay letters."""
    assert visible(text) == seen


def test_letters_that_look_like_others():
    """A name with a Cyrillic letter in it is spelt out."""
    text = shown(Request(agent="\u0430lice", action="tool.run", targets=("tool:x",)))
    assert "(in ASCII: '\\u0430lice')" in text


@given(st.text(max_size=80))
def test_whatever_is_shown_can_be_seen_and_told_apart(text):
    """Only characters that are seen come out, on one line, and what went in can be had back from it."""
    seen = visible(text)
    kinds = {unicodedata.category(one) for one in seen}
    assert not kinds & {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp", "Mn", "Me"}
    back = re.sub(r"\\(\\|[ntr]|x..|u....|U........)", lambda m: codecs.decode(m[0], "unicode_escape"), seen)
    assert back == text
