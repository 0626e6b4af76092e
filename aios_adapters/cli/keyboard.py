"""Keys from a terminal, one at a time, without waiting for Enter and without echo."""

from __future__ import annotations

import os
import select
import sys
from types import TracebackType
from typing import Any, TextIO

from typing_extensions import Self

__all__ = ["Keyboard"]

NAMES = {"\x1b[A": "up", "\x1bOA": "up", "\x1b[B": "down", "\x1bOB": "down", "\x1b": "escape", "\x03": "interrupt"}
LONGEST = 16


class Keyboard:
    """Read keys while the block lasts; the terminal is as before afterwards, whatever happens inside."""

    def __init__(self, stream: TextIO | None = None) -> None:
        self._stream = stream or sys.stdin
        self._before: Any = None
        self._ahead = ""  # typed, and not yet asked for

    def __enter__(self) -> Self:
        import termios
        import tty

        if self._stream.isatty():
            self._before = termios.tcgetattr(self._stream)
            tty.setcbreak(self._stream)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        import termios

        if self._before is not None:
            termios.tcsetattr(self._stream, termios.TCSADRAIN, self._before)

    def key(self, seconds: float) -> str:
        """The next key, "" where none comes in time; arrows by name. A closed input is "q"."""
        if self._before is None:
            select.select([], [], [], seconds)
            return ""
        if not self._ahead:
            if not select.select([self._stream], [], [], seconds)[0]:
                return ""
            # What one key sends comes in one piece.
            self._ahead = os.read(self._stream.fileno(), LONGEST).decode("utf-8", "replace")
            if not self._ahead:
                return "q"
        return self._next()

    def _next(self) -> str:
        """Take one key off what was typed ahead."""
        known = next((text for text in NAMES if self._ahead.startswith(text)), self._ahead[:1])
        self._ahead = self._ahead[len(known) :]
        return NAMES.get(known, known)
