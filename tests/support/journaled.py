"""Runs of a program with a journal, for the tests of every adapter: what they gave, and what of it came from the journal."""

from __future__ import annotations

import contextlib
from collections.abc import Awaitable, Callable, Generator
from pathlib import Path
from typing import Any, TypeVar

import aios_adapters
from aios_evals.endpoint import Endpoint

__all__ = ["atwice", "journaled", "twice"]

T = TypeVar("T")


@contextlib.contextmanager
def journaled(path: Path, mode: str = "record", **settings: Any) -> Generator[Any, None, None]:
    """Enable the journal for a run; what is given is the run's `Journal`."""
    aios_adapters.disable()
    aios_adapters.enable(journal=path, journal_mode=mode, **settings)
    kernel: Any = aios_adapters.kernel()
    try:
        yield kernel.journal
    finally:
        aios_adapters.disable()


def twice(path: Path, endpoint: Endpoint, run: Callable[[], T]) -> tuple[T, T, int]:
    """Run it and record, then run it by a strict replay: what both gave, and how many calls were answered.

    The second run asks no endpoint.
    """
    with journaled(path):
        first = run()
    endpoint.reset()
    with journaled(path, "strict") as journal:
        second = run()
        replayed = journal.counts["replayed"]
    assert endpoint.requests == []
    return first, second, replayed


async def atwice(path: Path, endpoint: Endpoint, run: Callable[[], Awaitable[T]]) -> tuple[T, T, int]:
    """Do the same in an event loop."""
    with journaled(path):
        first = await run()
    endpoint.reset()
    with journaled(path, "strict") as journal:
        second = await run()
        replayed = journal.counts["replayed"]
    assert endpoint.requests == []
    return first, second, replayed
