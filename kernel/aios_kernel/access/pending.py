"""The pending queue: questions in a SQLite file, which `aios approvals` lists and answers, in this process or another."""

from __future__ import annotations

import contextlib
import json
import os
import sqlite3
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from aios_kernel.access.approval import Answer, Request
from aios_kernel.address import private_folder, runtime_dir
from aios_kernel.connections import at_work
from aios_kernel.errors import AccessDenied, UnknownName
from aios_kernel.secrets import redact_data

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

__all__ = ["Pending", "default_file"]

EVERY = 0.1  # seconds between two looks at the file, while a question is open
SCHEMA = """CREATE TABLE IF NOT EXISTS approvals (
    id TEXT PRIMARY KEY, request TEXT NOT NULL, expires REAL NOT NULL, allowed INTEGER, by TEXT, remember REAL)"""


def default_file() -> Path:
    """The user's own queue: AIOS_APPROVALS, else a file beside the kernel's socket."""
    given = os.environ.get("AIOS_APPROVALS")
    return Path(given) if given else runtime_dir() / "approvals.db"


class Pending:
    """Put questions into a file that only this user can read, and wait for somebody to answer them there.

    Arguments are kept without their secrets, and a question only as long as it is open. `now` tells seconds since the
    epoch. Whoever may write the file may approve: an agent that runs unsandboxed code as the same user could.
    """

    def __init__(self, path: str | os.PathLike[str] | None = None, *, now: Callable[[], float] = time.time) -> None:
        self.path = Path(path) if path is not None else default_file()
        self._now = now
        self._replies: dict[str, Callable[[Answer], None]] = {}
        self._unsaid: dict[str, Request] = {}
        self._withdrawn: dict[str, None] = {}
        self._some = threading.Event()
        self._thread: threading.Thread | None = None
        self._starting = threading.Lock()
        self._closed = False

    # For the asking side

    def ask(self, request: Request, reply: Callable[[Answer], None]) -> None:
        """Put a question in line; a thread writes it down and looks for answers while there are any to come."""
        self._replies[request.id] = reply
        self._unsaid[request.id] = request
        self._some.set()
        with self._starting:
            if self._thread is None:
                self._thread = threading.Thread(target=self._work, name="aios-approvals", daemon=True)
                self._thread.start()

    def withdraw(self, request: Request) -> None:
        """Take a question back."""
        self._replies.pop(request.id, None)
        self._withdrawn[request.id] = None
        self._some.set()

    def close(self) -> None:
        """Take every question back, and ask nothing more."""
        for number in list(self._replies):
            self._replies.pop(number, None)
            self._withdrawn[number] = None
        self._closed = True
        self._some.set()

    def after_fork(self) -> None:
        """Have a thread of this process's own; the parent's questions are its own."""
        self._replies, self._unsaid, self._withdrawn = {}, {}, {}
        self._some, self._thread = threading.Event(), None
        self._starting = threading.Lock()

    # For the answering side

    def listed(self) -> list[dict[str, Any]]:
        """The open questions as plain data, oldest first."""
        if not self.path.exists():
            return []
        with self._database() as database:
            rows = database.execute(
                "SELECT request FROM approvals WHERE allowed IS NULL AND expires > ? ORDER BY rowid", (self._now(),)
            ).fetchall()
        return [cast("dict[str, Any]", json.loads(row[0])) for row in rows]

    def decide(self, number: str, answer: Answer) -> dict[str, Any]:
        """Answer a question; raises `UnknownName` for one that is not open, `AccessDenied` for one just answered."""
        open_ones = {one["id"]: one for one in self.listed()}
        if number not in open_ones:
            raise UnknownName("open question", number, open_ones)
        with self._database() as database:
            changed = database.execute(
                "UPDATE approvals SET allowed = ?, by = ?, remember = ? WHERE id = ? AND allowed IS NULL",
                (int(answer.allowed), answer.by, answer.remember, number),
            ).rowcount
        if not changed:
            raise AccessDenied(f"question {number} was answered a moment ago")
        return open_ones[number]

    # The thread

    def _work(self) -> None:
        while not self._closed or self._withdrawn:
            self._some.wait(EVERY if self._replies else None)
            self._some.clear()
            try:
                self._look()
            except Exception as error:  # noqa: BLE001 - the file may be anything; fail closed
                for reply in [self._replies.pop(number, None) for number in list(self._replies)]:
                    if reply is not None:
                        reply(Answer(allowed=False, by="nobody", note=f"{self.path} cannot be used: {error!r}"))
                self._unsaid.clear()
                self._withdrawn.clear()

    def _look(self) -> None:
        with self._database() as database:
            for number in list(self._unsaid):
                self._write(database, self._unsaid.pop(number))
            for number in list(self._withdrawn):
                database.execute("DELETE FROM approvals WHERE id = ?", (number,))
                self._withdrawn.pop(number, None)
            database.execute("DELETE FROM approvals WHERE expires <= ?", (self._now(),))
            for row in database.execute(
                "SELECT id, allowed, by, remember FROM approvals WHERE allowed IS NOT NULL"
            ).fetchall():
                reply = self._replies.pop(row[0], None)
                if reply is not None:  # else it is another process's question
                    database.execute("DELETE FROM approvals WHERE id = ?", (row[0],))
                    reply(Answer(allowed=row[1] == 1, by=row[2] or "approvals", remember=row[3]))

    def _write(self, database: sqlite3.Connection, request: Request) -> None:
        if request.id in self._withdrawn:
            return
        told = {**redact_data(request), "target": request.target}
        values = (request.id, json.dumps(told, default=repr), request.expires)
        database.execute("INSERT OR REPLACE INTO approvals (id, request, expires) VALUES (?, ?, ?)", values)

    @contextlib.contextmanager
    def _database(self) -> Generator[sqlite3.Connection, None, None]:
        if not self.path.exists():
            private_folder(self.path.parent)
            os.close(os.open(self.path, os.O_CREAT | os.O_RDWR, 0o600))
        with at_work(), contextlib.closing(sqlite3.connect(self.path, isolation_level=None, timeout=10)) as database:
            database.execute(SCHEMA)
            yield database
