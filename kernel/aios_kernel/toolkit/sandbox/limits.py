"""What sandboxed code may use, and what became of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

__all__ = ["Limits", "Ran"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Bounds of one run: seconds of wall and CPU time, bytes, and how many processes.

    `memory` is address space of each process; `output` is what is kept of each of the two streams; `files` bounds one
    file, `tmp` all of the private folder, which is in memory.
    """

    seconds: float = 30.0
    cpu_seconds: int = 30
    memory: int = 2**30
    processes: int = 64
    files: int = 64 * 2**20
    tmp: int = 128 * 2**20
    output: int = 100_000

    def __post_init__(self) -> None:
        if min(self.seconds, self.cpu_seconds, self.memory, self.processes, self.files, self.tmp, self.output) <= 0:
            raise ValueError("every limit of a sandbox is above 0")


@dataclass(frozen=True, slots=True, kw_only=True)
class Ran:
    """How a run ended; `exit_code` is negative for a signal, as of subprocess."""

    exit_code: int
    stdout: str
    stderr: str
    timed_out: bool = False
    truncated: bool = False

    def report(self) -> dict[str, Any]:
        """The run as plain data."""
        data: dict[str, Any] = {"exit_code": self.exit_code, "stdout": self.stdout, "stderr": self.stderr}
        return {**data, **{key: True for key in ("timed_out", "truncated") if getattr(self, key)}}
