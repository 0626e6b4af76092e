"""Asking at the terminal: one question at a time, in a thread of its own, so that no agent and no event loop stands still."""

from __future__ import annotations

import contextlib
import os
import queue
import select
import sys
import threading
from typing import TYPE_CHECKING, TextIO

from aios_kernel.access.approval import Answer
from aios_kernel.access.showing import shown

if TYPE_CHECKING:
    from collections.abc import Callable

    from aios_kernel.access.approval import Request

__all__ = ["CHOICES", "REMEMBERED", "Terminal", "understood"]

REMEMBERED = 3600.0  # seconds
CHOICES = "Allow? y = yes, a = yes for an hour (whatever the arguments), n = no, d = no for an hour [n]: "
LONGEST_LINE = 4096


def understood(line: str, by: str) -> Answer:
    """What somebody typed, as an answer; whatever is not plainly yes is no."""
    word = line.strip().lower()
    return Answer(allowed=word in {"y", "yes", "a"}, by=by, remember=REMEMBERED if word in {"a", "d"} else None)


class Terminal:
    """Ask at a terminal, by default standard input and error; without one, or when it is closed, the answer is no.

    What was typed before the question stood there is thrown away. Ctrl-C goes to the program, as always: the call that it
    interrupts is given up, and with it the question.
    """

    def __init__(self, source: TextIO | None = None, sink: TextIO | None = None) -> None:
        self._source, self._sink = source, sink
        self._waiting: queue.SimpleQueue[tuple[Request, Callable[[Answer], None]] | None] = queue.SimpleQueue()
        self._gone: dict[str, None] = {}
        self._asked = ""
        self._wake: tuple[int, int] | None = None
        self._thread: threading.Thread | None = None
        self._starting = threading.Lock()

    def ask(self, request: Request, reply: Callable[[Answer], None]) -> None:
        """Put a question in line."""
        if self._fds() is None:
            reply(_nobody("there is no terminal"))
            return
        self._waiting.put((request, reply))
        with self._starting:  # two threads would take each other's answers
            if self._thread is None:
                self._wake = os.pipe()
                self._thread = threading.Thread(target=self._work, name="aios-terminal", daemon=True)
                self._thread.start()

    def withdraw(self, request: Request) -> None:
        """Take a question back, also while it stands on the screen."""
        self._gone[request.id] = None
        if self._asked == request.id:
            self._stir()

    def close(self) -> None:
        """Ask nothing more."""
        self._waiting.put(None)
        if self._asked:
            self._gone[self._asked] = None
            self._stir()

    def after_fork(self) -> None:
        """Have a thread of this process's own."""
        self._waiting, self._gone, self._asked = queue.SimpleQueue(), {}, ""
        self._wake = self._thread = None
        self._starting = threading.Lock()

    def _stir(self) -> None:
        if self._wake is not None:
            os.write(self._wake[1], b"x")

    def _work(self) -> None:
        while (item := self._waiting.get()) is not None:
            request, reply = item
            self._asked = request.id
            if request.id not in self._gone:
                try:
                    reply(self._put(request))
                except Exception as error:  # noqa: BLE001 - a terminal may go away at any moment
                    reply(_nobody(f"the terminal failed: {error!r}"))
            self._asked = ""
            self._gone.pop(request.id, None)

    def _put(self, request: Request) -> Answer:
        fds = self._fds()
        if fds is None:
            return _nobody("there is no terminal")
        _forget_typed(fds[0])
        self._say(f"\n{shown(request)}\n{CHOICES}")
        line = self._line(fds[0], request)
        if line is None:
            self._say("\n(no longer asked)\n")
            return _nobody("it was no longer asked")
        if not line.endswith("\n"):  # the terminal was closed, perhaps in the middle of a word
            return _nobody("the terminal was closed")
        return understood(line, "terminal")

    def _line(self, fd: int, request: Request) -> str | None:
        """Read one line; None where the question was taken back meanwhile."""
        wake = self._wake[0] if self._wake is not None else fd
        data = b""
        while not data.endswith(b"\n") and len(data) < LONGEST_LINE:
            if request.id in self._gone:
                return None
            ready, _, _ = select.select([fd, wake], [], [])
            if wake in ready and wake != fd:
                os.read(wake, 64)
            elif fd in ready:
                piece = os.read(fd, 1024)
                if not piece:
                    break
                data += piece
        return data.decode("utf-8", "replace")

    def _say(self, text: str) -> None:
        sink = self._sink or sys.stderr
        sink.write(text.encode(sink.encoding or "utf-8", "backslashreplace").decode(sink.encoding or "utf-8"))
        sink.flush()

    def _fds(self) -> tuple[int, int] | None:
        try:
            source, sink = self._source or sys.stdin, self._sink or sys.stderr
            found = source.fileno(), sink.fileno()
        except (AttributeError, OSError, ValueError):
            return None
        return found if os.isatty(found[0]) and os.isatty(found[1]) else None


def _nobody(note: str) -> Answer:
    return Answer(allowed=False, by="nobody", note=note)


def _forget_typed(fd: int) -> None:
    """A line typed ahead answers no question that was not there yet."""
    with contextlib.suppress(ImportError, OSError):
        import termios

        with contextlib.suppress(termios.error):
            termios.tcflush(fd, termios.TCIFLUSH)
