"""Run a process group to its end, with bounded output, until its time is over or somebody stops it."""

from __future__ import annotations

import os
import selectors
import signal
import subprocess
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from aios_kernel.toolkit.sandbox.limits import Limits, Ran

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from contextlib import AbstractContextManager

__all__ = ["run_group"]

CHUNK = 2**16


def run_group(
    command: Sequence[str],
    limits: Limits,
    *,
    stopping: Callable[[Callable[[], object]], AbstractContextManager[None]],
    cwd: str | None = None,
    env: Mapping[str, str] | None = None,
    pass_fds: Sequence[int] = (),
) -> Ran:
    """Run a command as a process group of its own; whatever is left of the group at the end is killed."""
    process = subprocess.Popen(
        list(command),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        cwd=cwd,
        env=env,
        pass_fds=pass_fds,
        start_new_session=True,
    )

    def kill() -> None:
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)

    try:
        with stopping(kill):
            kept = _Output(process, limits.output)
            timed_out = not kept.read_until(time.monotonic() + limits.seconds)
            kill()
            exit_code = process.wait()
    finally:
        if process.poll() is None:
            kill()
            process.wait()
        for pipe in (process.stdout, process.stderr):
            if pipe is not None:
                pipe.close()
    return Ran(
        exit_code=exit_code, stdout=kept.text(0), stderr=kept.text(1), timed_out=timed_out, truncated=kept.truncated
    )


class _Output:
    """The two streams of a process: what is over the limit is read and dropped, so that the process goes on."""

    def __init__(self, process: subprocess.Popen[bytes], limit: int) -> None:
        self._process, self._limit = process, limit
        self._kept = (bytearray(), bytearray())
        self.truncated = False

    def text(self, stream: int) -> str:
        return self._kept[stream].decode("utf-8", "replace")

    def read_until(self, deadline: float) -> bool:
        """Read to the end of the process; False where its time was over first."""
        with selectors.DefaultSelector() as selector:
            for number, pipe in enumerate((self._process.stdout, self._process.stderr)):
                if pipe is None:  # never: both are asked for
                    continue
                os.set_blocking(pipe.fileno(), False)
                selector.register(pipe, selectors.EVENT_READ, number)
            while selector.get_map():
                left = deadline - time.monotonic()
                if left <= 0:
                    return False
                # A process that ended may have left another with its pipes: it has no more than a moment for them.
                ended = self._process.poll() is not None
                ready = selector.select(0.0 if ended else min(left, 0.2))
                for key, _ in ready:
                    if not self._take(key.fileobj, key.data):
                        selector.unregister(key.fileobj)
                if ended and not ready:
                    break
        left = deadline - time.monotonic()
        try:
            self._process.wait(max(left, 0.0))
        except subprocess.TimeoutExpired:
            return False
        return True

    def _take(self, pipe: Any, number: int) -> bool:
        try:
            data = os.read(pipe.fileno(), CHUNK)
        except BlockingIOError:
            return True
        kept = self._kept[number]
        room = self._limit - len(kept)
        kept += data[: max(room, 0)]
        self.truncated = self.truncated or len(data) > room
        return bool(data)
