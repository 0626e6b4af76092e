"""Which recorded answer belongs to a call: its agent, its request, and how often that agent has asked the same before."""

from __future__ import annotations

import json
import os
import threading
import weakref
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from aios_kernel.abi import AccessCall, Delta, LLMCall, MemoryCall, Reply, ToolCall
from aios_kernel.errors import JournalDivergence, JournalError, UnknownName
from aios_kernel.fingerprint import fingerprint, request_of
from aios_kernel.journal._file import File, row_for
from aios_kernel.journal._seal import Seal
from aios_kernel.journal.diff import divergence
from aios_kernel.protocol.values import decode_delta, decode_reply, encode_delta, encode_reply
from aios_kernel.secrets import redact, redact_data

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from aios_kernel.abi import Agent, Call
    from aios_kernel.journal._file import Row, Ticket

__all__ = ["MODES", "Asked", "Journal", "Mode", "Record"]

Mode = Literal["record", "replay", "strict", "refresh"]
MODES: tuple[str, ...] = ("record", "replay", "strict", "refresh")


@dataclass(frozen=True, slots=True)
class Record:
    """A recorded answer: a core's reply, or its pieces, or what an adapter kept of its framework's own result.

    `opaque` names the type of a result that nobody could keep.
    """

    reply: Reply | None = None
    deltas: tuple[Delta, ...] = ()
    native: Any = None
    opaque: str = ""

    def dump(self) -> str:
        """As JSON text; raises `TypeError` for what is no plain data."""
        if self.reply is not None:
            return json.dumps({"reply": encode_reply(self.reply)})
        if self.deltas:
            return json.dumps({"deltas": [encode_delta(delta) for delta in self.deltas]})
        return json.dumps({"opaque": self.opaque} if self.opaque else {"native": self.native})

    @classmethod
    def load(cls, text: str) -> Record:
        """From JSON text."""
        data: dict[str, Any] = json.loads(text)
        if "reply" in data:
            return cls(reply=decode_reply(data["reply"]))
        if "deltas" in data:
            return cls(deltas=tuple(decode_delta(one) for one in data["deltas"]))
        return cls(native=data.get("native"), opaque=data.get("opaque", ""))


@dataclass(frozen=True, slots=True)
class Asked:
    """A call as the journal knows it, and the answer that it has for it."""

    agent: str
    hash: str
    kind: str
    label: str
    request: dict[str, Any]
    record: Record | None = None
    call_id: str | None = None  # the number that the model gave a tool call, which is no part of what is asked


class Journal:
    """A file of answered calls.

    `mode`: "record" answers what was recorded and records the rest; "replay" answers, and records nothing; "strict" raises
    `JournalDivergence` where it has no answer; "refresh" empties the journal and records everything. `idempotent` are patterns of
    tools that may run again where their recorded result cannot be given back. Thread-safe, also across forks.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        mode: str = "record",
        *,
        idempotent: Sequence[str] = (),
        crash_point: Callable[[str], None] | None = None,
    ) -> None:
        if mode not in MODES:
            raise UnknownName("journal mode", mode, MODES)
        self.path, self.mode, self._idempotent = Path(path).absolute(), mode, tuple(idempotent)
        more: dict[str, Any] = {} if crash_point is None else {"crash_point": crash_point}
        self._file = File(self.path, empty=mode == "refresh", readonly=mode == "strict", **more)
        self._seal = Seal(self.path)
        self._lock = threading.RLock()  # a stream that is collected while it is held has something to say
        #: How many of a request's answers this run has had, from the journal or from life.
        self._had: dict[tuple[str, str], int] = {}
        self.counts = {"replayed": 0, "recorded": 0, "unrecorded": 0}
        _journals.add(self)

    @staticmethod
    def takes(call: Call) -> bool:
        """Whether a call belongs into a journal: not decisions, and not what a framework does with its own memory."""
        if isinstance(call, (LLMCall, ToolCall)):
            return True
        if isinstance(call, AccessCall) or (isinstance(call, MemoryCall) and call.verb == "sync"):
            return False
        return not call.lease

    def look(self, call: Call, agent: Agent) -> Asked:
        """Find a call's recorded answer; raises `JournalDivergence` where the mode demands one and there is none."""
        request = request_of(call)
        who, hash_ = "/".join(part for part in (agent.framework, agent.name) if part), fingerprint(request)
        asked = Asked(who, hash_, call.kind, call.label, request, call_id=getattr(call, "call_id", None))
        with self._lock:
            number = self._had.get((who, hash_), 0) + 1
            row = self._file.find(who, hash_, number)
            record = None if row is None else Record.load(self._seal.open(row.answer))
            if record is not None and record.opaque:
                record = self._rerun(asked, record)
            if record is not None or row is not None:
                self._had[who, hash_] = number
            if record is not None:
                self.counts["replayed"] += 1
                return replace(asked, record=record)
        if self.mode == "strict" and row is None:
            raise JournalDivergence(divergence(asked.agent, asked.label, redacted(request), self._next(asked)))
        return asked

    def write(self, asked: Asked, record: Record) -> Ticket | None:
        """Queue an answer; None where the mode records nothing or the answer is no plain data."""
        if self.mode in {"replay", "strict"}:
            return None
        try:
            answer = record.dump()
        except (TypeError, ValueError):
            answer = Record(opaque="data that is not plain").dump()
        request, answer = json.dumps(redacted(asked.request)), self._seal.seal(answer)
        with self._lock:
            self._had[asked.agent, asked.hash] = self._had.get((asked.agent, asked.hash), 0) + 1
            self.counts["recorded"] += 1
        return self._file.write(row_for(asked.agent, asked.hash, asked.kind, redact(asked.label), request, answer))

    def unrecorded(self) -> None:
        """Count a call whose answer could not be kept."""
        with self._lock:
            self.counts["unrecorded"] += 1

    def rows(self) -> Iterator[Row]:
        """Everything recorded, in the order in which it was acknowledged, with its answers as they were."""
        return (replace(row, answer=self._seal.open(row.answer)) for row in self._file.rows())

    def left(self) -> list[Row]:
        """What is recorded and was not asked for in this run."""
        return [row for row in self._file.rows() if row.n > self._had.get((row.agent, row.hash), 0)]

    def status(self) -> dict[str, Any]:
        """Describe the journal, for people."""
        return {"journal": str(self.path), "mode": self.mode, **self.counts}

    def close(self) -> None:
        """Write what is pending, and close; idempotent."""
        self._file.close()

    def renew(self) -> None:
        """Begin afresh in a forked child, which goes on from where its parent was."""
        self._lock = threading.RLock()
        self._seal.renew()
        self._file.renew()

    def _rerun(self, asked: Asked, record: Record) -> None:
        """A result that nobody could keep: its tool runs again only if that does no harm."""
        if any(fnmatchcase(asked.label, pattern) for pattern in self._idempotent):
            return
        raise JournalError(
            f"{asked.label!r} of agent {asked.agent!r} has run, and its result ({redact(record.opaque)}) could not be recorded: it is "
            f"not run a second time. If that does no harm, declare it: journal_idempotent=[{asked.label!r}]"
        )

    def _next(self, asked: Asked) -> dict[str, Any] | None:
        """The request that was recorded where this one comes: the agent's first that it has not made yet."""
        rows = (row for row in self._file.rows(asked.agent, asked.kind))
        found = next((row for row in rows if row.n > self._had.get((row.agent, row.hash), 0)), None)
        return None if found is None else json.loads(found.request)


def redacted(request: dict[str, Any]) -> dict[str, Any]:
    """A request without its secrets: it is kept for people and for diffs, the answer is found by its hash."""
    return redact_data(request)


_journals: weakref.WeakSet[Journal] = weakref.WeakSet()


def _renew_all() -> None:
    for journal in list(_journals):
        journal.renew()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_renew_all)
