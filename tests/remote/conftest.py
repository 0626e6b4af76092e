"""A served kernel, its clients in this process, and programs that are clients in processes of their own."""

from __future__ import annotations

import contextlib
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from aios_adapters.remote import RemoteKernel
from aios_kernel import ChatCall, Kernel
from tests.support.shared import Served, served

CALL = ChatCall(model="m", messages=[{"role": "user", "content": "hi"}])

BEGIN = """
import os, sys, threading
from aios_adapters.remote import RemoteKernel
from aios_kernel import *
CALL = ChatCall(model="m")
kernel = RemoteKernel(sys.argv[1])
"""


class Rig:
    """A kernel, the server it is behind, and clients of it."""

    def __init__(self, stack: contextlib.ExitStack, path: Path) -> None:
        self._stack, self._path = stack, path
        self.kernel: Kernel
        self.server: Served

    def serve(self, *, http: str = "httptools", token: str = "", **options: Any) -> RemoteKernel:
        """Serve a new kernel and return a client of it."""
        self.kernel = Kernel(**options)
        self.server = self._stack.enter_context(served(self.kernel, self._path, http=http, token=token))
        return self.client()

    def client(self, where: str | None = None, **options: Any) -> RemoteKernel:
        """Another client in this process."""
        gate = RemoteKernel(where or self.server.where, **options)
        return self._stack.enter_context(contextlib.closing(gate))

    def program(self, code: str, *arguments: str) -> subprocess.Popen[str]:
        """A client in a process of its own, which has `kernel` and `CALL`; its first words are waited for by the test."""
        command = [sys.executable, "-c", BEGIN + code, self.server.where, *arguments]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stdin=subprocess.PIPE, text=True)
        self._stack.callback(_end, process)
        return process

    def llm(self, key: str) -> int:
        """A number of the one language-model resource, as the kernel itself has it."""
        rows = [row for row in self.kernel.status().resources if row["resource"].startswith("llm:")]
        return rows[0][key] if rows else 0


def _end(process: subprocess.Popen[str]) -> None:
    process.kill()
    process.communicate()


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[Rig]:
    """Everything of a test, ended with it."""
    with contextlib.ExitStack() as stack:
        yield Rig(stack, tmp_path / "kernel.sock")


@pytest.fixture
def runtime(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A user's runtime folder; a server that was started there is ended."""
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    folder = tmp_path / "aios-adapters"
    yield folder
    with contextlib.suppress(OSError, ValueError):
        server_pid(folder, kill=True)


def server_pid(folder: Path, *, kill: bool = False) -> int:
    """The process of the server that was started by itself."""
    import os
    import signal

    pid = int((folder / "kernel.pid").read_text())
    if kill:
        os.kill(pid, signal.SIGKILL)
    return pid
