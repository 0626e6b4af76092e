"""The audit log: JSON lines, each bound to the one before it by a hash, appended by any number of processes.

A changed, removed, inserted or moved line breaks the chain. Lines cut off at the end leave a chain that is whole but
short: that is found by the head file beside the log, which says how many entries there are and how the last one ends,
or by a head that was noted elsewhere. Who can rewrite log and head, and knows of no noted head, is not found out.
"""

from __future__ import annotations

import hashlib
import json
import os
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from aios_kernel.errors import AccessDenied
from aios_kernel.secrets import redact_data

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

__all__ = ["START", "AuditLog", "Verified", "verify"]

START = "0" * 64  # what the first entry is bound to
HEAD = ".head"
TAIL = 1 << 16


class AuditLog:
    """Append entries to a file; each is redacted, numbered, timed and bound to the one before.

    Any thread and any process may append: one at a time, under a lock on the file. An entry is with the system when
    `append` returns, so that it outlives the process; with `fsync`, also a power failure. Raises `AccessDenied` where an
    entry cannot be written or the log is not as its head says, so that what cannot be recorded does not happen.
    """

    def __init__(
        self, path: str | os.PathLike[str], *, fsync: bool = False, now: Callable[[], float] = time.time
    ) -> None:
        self.path = Path(path)
        self._fsync, self._now = fsync, now
        self._lock = threading.Lock()
        self._fd = -1
        self._head = -1
        self._end: int = -1
        self._last, self._count = START, 0

    def append(self, entry: Mapping[str, Any]) -> str:
        """Write one entry and return its hash."""
        try:
            with self._lock:
                self._open()
                return self._append(redact_data(entry))
        except (OSError, ValueError) as error:
            raise AccessDenied(f"the audit log {self.path} cannot be written: {error}") from error

    def close(self) -> None:
        """Close the file; a later entry opens it again."""
        with self._lock:
            for fd in (self._fd, self._head):
                if fd >= 0:
                    os.close(fd)
            self._fd = self._head = -1

    def after_fork(self) -> None:
        """Have files and a lock of this process's own."""
        self._lock = threading.Lock()
        self.close()

    def _open(self) -> None:
        if self._fd < 0:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._fd = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
            self._head = os.open(_head_file(self.path), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            self._end = -1

    def _append(self, entry: dict[str, Any]) -> str:
        import fcntl

        fcntl.flock(self._fd, fcntl.LOCK_EX)
        try:
            self._catch_up()
            body = {"n": self._count + 1, "time": self._now(), **entry, "previous": self._last}
            found = _hash(body)
            self._write(json.dumps({**body, "hash": found}, ensure_ascii=True, separators=(",", ":")).encode() + b"\n")
            self._count, self._last = self._count + 1, found
            os.pwrite(self._head, f"{self._count:020d} {found}\n".encode(), 0)
            if self._fsync:
                os.fsync(self._fd)
                os.fsync(self._head)
            return found
        finally:
            fcntl.flock(self._fd, fcntl.LOCK_UN)

    def _write(self, line: bytes) -> None:
        before: int = self._end
        try:
            if os.write(self._fd, line) != len(line):
                raise OSError("the disk took only a part of the entry")
        except OSError:
            os.ftruncate(self._fd, before)  # our own half line, under the lock
            raise
        self._end = before + len(line)

    def _catch_up(self) -> None:
        """See what other processes have appended since; begin behind a line that a crash cut short."""
        size = os.fstat(self._fd).st_size
        if size == self._end:
            return
        if size and os.pread(self._fd, 1, size - 1) != b"\n":
            size += os.write(self._fd, b"\n")  # the verifier names the cut line
        count, last = _last_entry(self._fd, size)
        told = _told_head(os.pread(self._head, 128, 0))
        if told is not None and told[0] > count:
            raise ValueError(
                f"it ends with entry {count}, but its head file says that there were {told[0]}: it was cut off"
            )
        if told is not None and told[0] == count and told[1] != last:
            raise ValueError(f"entry {count} is not the one that its head file knows: it was changed")
        self._count, self._last, self._end = count, last, size


@dataclass(frozen=True, slots=True, kw_only=True)
class Verified:
    """What a check of a log found: `broken` is the number of the first line that is not as it was written, 0 for none."""

    entries: int
    head: str
    broken: int = 0
    problem: str = ""

    @property
    def ok(self) -> bool:
        """Whether nothing is wrong."""
        return not self.problem


def verify(path: str | os.PathLike[str], *, head: str | None = None, least: int = 0) -> Verified:
    """Check a log from its beginning, against its head file and, if given, a head and a number of entries noted elsewhere.

    Raises `OSError` where the log cannot be read.
    """
    file = Path(path)
    count, last, seen = 0, START, {START}
    with file.open("rb") as stream:
        for number, line in enumerate(stream, 1):
            problem, found = _checked(line, count, last)
            if problem:
                return Verified(entries=count, head=last, broken=number, problem=f"line {number}: {problem}")
            count, last = count + 1, found
            seen.add(found)
    return Verified(entries=count, head=last, problem=_short(file, count, seen, head, least))


def _short(file: Path, count: int, seen: set[str], head: str | None, least: int) -> str:
    told = _told_head(_read(_head_file(file)))
    if told is None and (count or head is None):
        problem = (
            "its head file is missing or unreadable, so that entries may have been cut off at the end" if count else ""
        )
    elif told is not None and told[0] > count:
        problem = (
            f"it ends with entry {count}, but its head file says that there were {told[0]}: it was cut off at the end"
        )
    elif told is not None and told[1] not in seen:
        problem = f"entry {told[0]} is not the one that its head file knows: the log was written anew"
    else:
        problem = ""
    if head is not None and head not in seen:
        return f"no entry has the hash {head}, which was noted: the log was cut off or written anew"
    if count < least:
        return f"it has {count} entries, but at least {least} were noted: it was cut off"
    return problem


def _checked(line: bytes, count: int, last: str) -> tuple[str, str]:  # noqa: PLR0911 - one line per fault
    if not line.endswith(b"\n"):
        return "it is cut short", ""
    try:
        entry: Any = json.loads(line)
        if not isinstance(entry, dict):
            return "it is no entry", ""
        found = cast("dict[str, Any]", entry)
        claimed = found.pop("hash", None)
        if json.dumps({**found, "hash": claimed}, ensure_ascii=True, separators=(",", ":")).encode() + b"\n" != line:
            return "it is not written as entries are", ""  # such as a key that is there twice
    except (ValueError, RecursionError):
        return "it is no entry: not JSON", ""
    if claimed != _hash(found):
        return "its content does not fit its hash: it was changed", ""
    if found.get("previous") != last:
        return f"it does not follow entry {count}: entries before it were removed, inserted or moved", ""
    if found.get("n") != count + 1:
        return f"it is numbered {found.get('n')}, not {count + 1}", ""
    return "", str(claimed)


def _hash(body: Mapping[str, Any]) -> str:
    text = json.dumps(body, ensure_ascii=True, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def _last_entry(fd: int, size: int) -> tuple[int, str]:
    for line in _backwards(fd, size):
        try:
            entry: Any = json.loads(line)
            return int(entry["n"]), str(entry["hash"])
        except (ValueError, KeyError, TypeError):  # cut short by a crash; if not, the head knows of more entries
            continue
    return 0, START


def _backwards(fd: int, size: int) -> Iterator[bytes]:
    """The last whole entry, read from the end; a line that a crash cut short is passed over."""
    want = TAIL
    while True:
        begin = max(0, size - want)
        lines = os.pread(fd, size - begin, begin).split(b"\n")
        for line in reversed(lines if begin == 0 else lines[1:]):
            if line.endswith(b"}"):
                yield line
        if begin == 0:
            return
        want *= 4


def _head_file(path: Path) -> Path:
    return path.with_name(path.name + HEAD)


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError:
        return b""


def _told_head(data: bytes) -> tuple[int, str] | None:
    count, _, found = data.decode("ascii", "replace").strip().partition(" ")
    return (int(count), found) if count.isdigit() and len(found) == len(START) else None
