"""The box below a running cell, by the channel that a notebook's kernel (ipykernel) has for input; imports none of it.

The kernel's own `input` takes whatever comes on that channel next for its answer, cannot be given up from outside, and must
not be called by two threads. Approvals need more: an answer that was typed for this question, and for no other.
"""

from __future__ import annotations

import builtins
import contextlib
import os
import sys
import threading
import weakref
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Generator

__all__ = ["NoBox", "ask", "kernel", "leave", "share", "turn"]

POLL = 0.1  # seconds between looks at whether a question still stands

#: Who reads the channel at the moment: one question of ours, or one `input` of the program's.
_turn = threading.Lock()
_sharing: weakref.WeakSet[Any] = weakref.WeakSet()


class NoBox(Exception):
    """There is no place to ask; the message says why."""


def kernel() -> Any:
    """The notebook's kernel that this process is; None where it is none, or one that asks in a way of its own."""
    shell: Any = getattr(sys.modules.get("IPython"), "get_ipython", lambda: None)()
    found: Any = getattr(shell, "kernel", None)
    asking: Any = getattr(type(found), "_input_request", None)  # pyright: ignore[reportUnknownArgumentType]
    return found if getattr(asking, "__module__", "") == "ipykernel.kernelbase" else None


def share(kernel: Any, owner: object) -> None:
    """Have the program's own `input` and questions take turns for as long as `owner` asks."""
    _sharing.add(owner)
    if "_input_request" in vars(kernel):
        return
    own = kernel._input_request  # noqa: SLF001 - what `input` and `getpass` have in common

    def in_turn(*args: Any, **kwargs: Any) -> Any:
        with _turn:
            return own(*args, **kwargs)

    kernel._input_request = in_turn  # noqa: SLF001


def leave(kernel: Any, owner: object) -> None:
    """Give the kernel its own `input` back once nobody asks any more."""
    _sharing.discard(owner)
    if not _sharing:
        vars(kernel).pop("_input_request", None)


@contextlib.contextmanager
def turn(kernel: Any, gone: threading.Event) -> Generator[None]:
    """Wait until nobody reads the channel, and keep others from it; a question that has gone need not wait."""
    mine = False
    if _is_ours(kernel):
        while not mine and not gone.is_set():
            mine = _turn.acquire(timeout=POLL)
    try:
        yield
    finally:
        if mine:
            _turn.release()


def ask(kernel: Any, text: str, gone: threading.Event) -> str | None:
    """Return what was typed below the running cell, None where the question was taken back; raise `NoBox`. Inside a turn."""
    if not _is_ours(kernel):
        raise NoBox("a child of the notebook's process cannot ask in the notebook")
    if not _cell_runs(kernel):
        raise NoBox("no cell was running, below which it could be asked")
    if not getattr(kernel, "_allow_stdin", True):
        raise NoBox("the notebook takes no input")
    socket, cell = kernel.stdin_socket, kernel.get_parent("shell")
    _forget_typed(socket)
    said = kernel.session.send(
        socket,
        "input_request",
        {"prompt": text, "password": False},
        cell,
        ident=kernel._parent_ident["shell"],  # noqa: SLF001 - whose notebook it is, where several look at one kernel
    )
    while not gone.is_set():
        typed = _typed(kernel, socket, said["header"]["msg_id"])
        if typed is not None:
            return typed
        # An interrupt reaches an awaiting cell when its loop next has something to do: that may be never.
        kernel.io_loop.add_callback(int)
    if _cell_runs(kernel) and kernel.get_parent("shell")["header"]["msg_id"] == cell["header"]["msg_id"]:
        sys.stderr.write("(no longer asked)\n")
        sys.stderr.flush()
    return None


def _typed(kernel: Any, socket: Any, question: str) -> str | None:
    """What was typed into this question's box, None while nothing was; a front end need not say which box it was."""
    ready, _, failed = sys.modules["zmq"].select([socket], [], [socket], POLL)
    if not ready and not failed:
        return None
    reply: Any = None
    with contextlib.suppress(ValueError):  # not signed, or not for the first time
        _, reply = kernel.session.recv(socket)
    if reply is None or reply["parent_header"].get("msg_id", question) != question:
        return None
    return str(reply["content"].get("value", ""))


def _is_ours(kernel: Any) -> bool:
    return bool(kernel.session.pid == os.getpid())


def _cell_runs(kernel: Any) -> bool:
    """Whether `input` is the notebook's at the moment, or the program's own, but not Python's, which the kernel puts back."""
    return builtins.input is not kernel._sys_raw_input  # noqa: SLF001


def _forget_typed(socket: Any) -> None:
    """What was typed before the question stood there answers no question."""
    zmq = sys.modules["zmq"]
    with contextlib.suppress(zmq.Again):
        while True:
            socket.recv_multipart(zmq.NOBLOCK)
