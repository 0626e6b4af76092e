"""One run of a program with a journal, for the tests of every adapter: what it gave, and what of it came from the journal."""

from __future__ import annotations

import contextlib
from collections.abc import Generator
from pathlib import Path
from typing import Any

import aios_adapters

__all__ = ["journaled"]


@contextlib.contextmanager
def journaled(path: Path, mode: str = "record") -> Generator[Any, None, None]:
    """Enable the journal for a run; what is given is the run's `Journal`."""
    aios_adapters.disable()
    aios_adapters.enable(journal=path, journal_mode=mode)
    kernel: Any = aios_adapters.kernel()
    try:
        yield kernel.journal
    finally:
        aios_adapters.disable()
