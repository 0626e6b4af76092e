"""Start the user's own server where none answers: one, however many programs start at once."""

from __future__ import annotations

import contextlib
import os
import select
import socket
import subprocess
import sys
import time
from collections.abc import Generator
from pathlib import Path
from typing import IO, TYPE_CHECKING

from aios_kernel.address import private_folder
from aios_kernel.errors import KernelLost

if TYPE_CHECKING:
    from aios_kernel.address import Address

__all__ = ["answers", "started"]

WITHIN = 60.0  # seconds that a server may take until it answers
LOOK_EVERY = 0.05


def started(address: Address) -> None:
    """Return once a server answers; raises `KernelLost` with what it said where it does not come up."""
    if answers(address):
        return
    private_folder(address.lock_file.parent)
    with _locked(address.lock_file):
        if answers(address):  # another process was quicker
            return
        _start(address)


def answers(address: Address) -> bool:
    """Whether somebody accepts connections there; a socket file alone says nothing."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        try:
            probe.connect(address.path)
        except OSError:
            return False
    return True


def _start(address: Address) -> None:
    with address.log_file.open("ab") as log:
        begin = log.seek(0, os.SEEK_END)
        process = _spawn(address, log)
    end = time.monotonic() + WITHIN
    while not answers(address):
        code = process.poll()
        if code is not None or time.monotonic() > end:
            said = _tail(address.log_file, begin)
            how = f"ended with exit code {code}" if code is not None else f"did not answer within {WITHIN:g} s"
            raise KernelLost(
                f"the kernel's server was started for {address} and {how}: {said or 'it said nothing'} (its log is "
                f"{address.log_file}); start it by hand with `aios serve` to see more"
            )
        select.select([], [], [], LOOK_EVERY)
    process.returncode = 0  # it outlives this program: nobody waits for it, and nobody is to be warned that it runs


def _spawn(address: Address, log: IO[bytes]) -> subprocess.Popen[bytes]:
    """Start it so that it outlives this program, and Ctrl-C in this terminal does not reach it."""
    command = [sys.executable, "-m", "aios_adapters", "serve", "--socket", address.path]
    environment = {key: value for key, value in os.environ.items() if key not in {"AIOS_KERNEL", "AIOS_DISABLE"}}
    # The server must find the packages that this program found, installed or not.
    environment["PYTHONPATH"] = os.pathsep.join(path for path in sys.path if path)
    return subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=environment, cwd="/", start_new_session=True
    )


def _tail(file: Path, begin: int) -> str:
    with contextlib.suppress(OSError), file.open("rb") as log:
        log.seek(begin)
        lines = log.read()[-2000:].decode("utf-8", "replace").strip().splitlines()
        return lines[-1] if lines else ""
    return ""


@contextlib.contextmanager
def _locked(file: Path) -> Generator[None, None, None]:
    """Hold a file's lock; the system lets go of it when its process dies."""
    import fcntl

    descriptor = os.open(file, os.O_RDWR | os.O_CREAT | getattr(os, "O_CLOEXEC", 0), 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)
