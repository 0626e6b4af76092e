"""Asking in a notebook: the question and a box to type into, below the running cell."""

from __future__ import annotations

import builtins
import contextlib
import threading
from typing import TYPE_CHECKING

from aios_kernel.access import jupyter
from aios_kernel.access.approval import Answer
from aios_kernel.access.callback import Callback
from aios_kernel.access.showing import shown
from aios_kernel.access.terminal import CHOICES, understood

if TYPE_CHECKING:
    from collections.abc import Callable

    from aios_kernel.access.approval import Request

__all__ = ["Notebook"]


class Notebook(Callback):
    """Ask in a notebook: the question and a box to type into, below the running cell. One question at a time.

    What is typed counts for the question it was typed for alone; a question whose call has gone is asked no longer. Where
    no cell runs, or the front end takes no input, the answer is no. `ask` is what asks in a notebook of another kind,
    by default `input`, which such a notebook's kernel replaces by its own; it is asked until it returns or raises.
    """

    def __init__(self, ask: Callable[[str], str] | None = None) -> None:
        super().__init__(self._put)
        self._input = ask
        self._one = threading.Lock()
        self._open: dict[str, threading.Event] = {}
        self._kernel = jupyter.kernel() if ask is None else None
        if self._kernel is not None:
            jupyter.share(self._kernel, self)

    def ask(self, request: Request, reply: Callable[[Answer], None]) -> None:
        """Put a question in line."""
        self._open[request.id] = threading.Event()
        super().ask(request, reply)

    def withdraw(self, request: Request) -> None:
        """Take a question back, also while its box stands there."""
        gone = self._open.get(request.id)
        if gone is not None:
            gone.set()

    def close(self) -> None:
        """Ask nothing more."""
        super().close()
        for gone in list(self._open.values()):
            gone.set()
        if self._kernel is not None:
            jupyter.leave(self._kernel, self)

    def after_fork(self) -> None:
        """Have no question of the parent's."""
        self._one, self._open = threading.Lock(), {}

    def _call(self, request: Request, reply: Callable[[Answer], None]) -> None:
        """Ask, and answer while nobody else is asked: the answer may end other questions, too."""
        gone = self._open[request.id]
        try:
            with self._turn(gone):
                super()._call(request, reply)
        finally:
            self._open.pop(request.id, None)

    def _turn(self, gone: threading.Event) -> contextlib.AbstractContextManager[object]:
        return self._one if self._kernel is None else jupyter.turn(self._kernel, gone)

    def _put(self, request: Request) -> Answer:
        text, gone = f"{shown(request)}\n{CHOICES}", self._open[request.id]
        if gone.is_set():
            return _nobody("it was no longer asked")
        if self._kernel is None:
            return understood((self._input or builtins.input)(text), "notebook")
        try:
            typed = jupyter.ask(self._kernel, text, gone)
        except jupyter.NoBox as error:
            return _nobody(str(error))
        return _nobody("it was no longer asked") if typed is None else understood(typed, "notebook")


def _nobody(note: str) -> Answer:
    return Answer(allowed=False, by="nobody", note=note)
