"""Decisions that are remembered for a while, per agent, action and target; in a file also beyond this process."""

from __future__ import annotations

import sqlite3
from typing import TYPE_CHECKING

from aios_kernel.access.approval import Answer
from aios_kernel.connections import Connections

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
        self._kept: dict[Key, tuple[bool, str, float]] = {}  # where there is no file
        self._file = None if path is None else Connections(path, _set_up, patience=5)
        if self._file is not None:
            with self._file.use():
                pass  # a file that cannot be opened is reported now

    def find(self, key: Key) -> Answer | None:
        """The decision that counts now, if there is one."""
        row = self._kept.get(key) if self._file is None else _row(self._file, key)
        if row is None or self._now() >= row[2]:
            return None
        return Answer(allowed=bool(row[0]), by=row[1], note="a remembered decision")

    def keep(self, key: Key, answer: Answer) -> None:
        """Remember a decision for as many seconds as it says."""
        if not answer.remember or answer.remember <= 0:
            return
        until = self._now() + answer.remember
        if self._file is None:
            self._kept[key] = (answer.allowed, answer.by, until)
            return
        with self._file.use() as connection:
            connection.execute("DELETE FROM decisions WHERE until <= ?", (self._now(),))
            values = (*key, int(answer.allowed), answer.by, until)
            connection.execute("INSERT OR REPLACE INTO decisions VALUES (?, ?, ?, ?, ?, ?)", values)

    def forget(self) -> None:
        """Forget every decision."""
        self._kept.clear()
        if self._file is not None:
            with self._file.use() as connection:
                connection.execute("DELETE FROM decisions")

    def close(self) -> None:
        """Close the file."""
        if self._file is not None:
            self._file.close()


def _set_up(connection: sqlite3.Connection) -> None:
    connection.execute(SCHEMA)


def _row(file: Connections, key: Key) -> tuple[int, str, float] | None:
    query = "SELECT allowed, by, until FROM decisions WHERE agent = ? AND action = ? AND target = ?"
    try:
        with file.use() as connection:
            return connection.execute(query, key).fetchone()
    except sqlite3.Error:
        return None
