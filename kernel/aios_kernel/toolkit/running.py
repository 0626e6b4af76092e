"""One call of a tool while it runs: how it is stopped, and what the tool can ask about it."""

from __future__ import annotations

import threading
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from typing import TYPE_CHECKING

from aios_kernel.errors import ToolError, ToolUnavailable

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

    from aios_kernel.abi import Agent
    from aios_kernel.gate import Gate
    from aios_kernel.serving import Job
    from aios_kernel.toolkit.tool import Tool

__all__ = ["Running", "running"]

_running: ContextVar[Running | None] = ContextVar("aios_running_tool", default=None)


class Running:
    """A call under way. A tool gets its own by `running()`; `gate` is the kernel, for calls as the same agent."""

    def __init__(self, job: Job, tool: Tool, gate: Gate | None) -> None:
        self.job, self.tool, self._gate = job, tool, gate
        self.stopped = threading.Event()
        self._lock = threading.Lock()
        self._stops: dict[object, Callable[[], object]] = {}
        self.left = False  # the thread is done with the call
        self.counted = False  # it timed out, and counts as hanging until the thread is done

    @property
    def gate(self) -> Gate:
        """The kernel's gate, for calls of the tool's own."""
        if self._gate is None:
            raise ToolUnavailable(f"there is no kernel around {self.tool.name}, so it can make no calls")
        return self._gate

    @property
    def agent(self) -> Agent:
        """Whose call it is."""
        return self.job.task.process.agent

    @contextmanager
    def stopping(self, callback: Callable[[], object]) -> Generator[None, None, None]:
        """Have `callback` called, in some thread, if the call is stopped inside the block; at once if it was before."""
        key = object()
        with self._lock:
            self._stops[key] = callback
            late = self.stopped.is_set()
        try:
            if late:
                callback()
            yield
        finally:
            with self._lock:
                self._stops.pop(key, None)

    def stop(self, error: BaseException) -> None:
        """Answer the caller with an error and stop what can be stopped; idempotent, never waits."""
        with self._lock:
            if self.left or self.stopped.is_set():
                return
            self.stopped.set()
            callbacks = list(self._stops.values())
        self.job.fail(error)  # first: what is stopped below fails in its own words, which are not the answer
        for callback in callbacks:
            with suppress(Exception):
                callback()

    def enter(self) -> None:
        """Make this the call that `running()` finds in this context."""
        _running.set(self)

    def leave(self) -> None:
        """Note that the thread is done with the call."""
        with self._lock:
            self.left = True


def running() -> Running:
    """The call that this code runs in; raises `ToolError` outside of one."""
    found = _running.get()
    if found is None:
        raise ToolError("this tool works only inside a kernel: call it through the gate")
    return found
