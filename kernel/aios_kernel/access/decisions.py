"""Decisions that are remembered for a while, per agent, action and target; in a file also beyond this process."""

from __future__ import annotations

import sqlite3
import threading
from typing import TYPE_CHECKING

from aios_kernel.access.approval import Answer

if TYPE_CHECKING:
    import os
    from collections.abc import Callable

__all__ = ["Decisions"]

Key = tuple[str, str, str]
SCHEMA = """CREATE TABLE IF NOT EXISTS decisions (
    agent TEXT, action TEXT, target TEXT, allowed INTEGER NOT NULL, by TEXT NOT NULL, until REAL NOT NULL,
    PRIMARY KEY (agent, action, target))"""


class Decisions:
    """Keep decisions until their time is over; `now` tells seconds since the epoch. Thread-safe.

    One that cannot be read is none, so that a person is asked.
    """

    def __init__(self, path: str | os.PathLike[str] | None = None, *, now: Callable[[], float]) -> None:
        self._now = now
        self._lock = threading.Lock()
        self._connection = sqlite3.connect(path or ":memory:", isolation_level=None, check_same_thread=False, timeout=5)
        self._connection.execute(SCHEMA)

    def find(self, key: Key) -> Answer | None:
        """The decision that counts now, if there is one."""
        query = "SELECT allowed, by, until FROM decisions WHERE agent = ? AND action = ? AND target = ?"
        try:
            with self._lock:
                row = self._connection.execute(query, key).fetchone()
        except sqlite3.Error:
            return None
        if row is None or self._now() >= row[2]:
            return None
        return Answer(allowed=row[0] == 1, by=row[1], note="a remembered decision")

    def keep(self, key: Key, answer: Answer) -> None:
        """Remember a decision for as many seconds as it says."""
        if not answer.remember or answer.remember <= 0:
            return
        until = self._now() + answer.remember
        with self._lock:
            self._connection.execute("DELETE FROM decisions WHERE until <= ?", (self._now(),))
            values = (*key, int(answer.allowed), answer.by, until)
            self._connection.execute("INSERT OR REPLACE INTO decisions VALUES (?, ?, ?, ?, ?, ?)", values)

    def forget(self) -> None:
        """Forget every decision."""
        with self._lock:
            self._connection.execute("DELETE FROM decisions")

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            self._connection.close()
