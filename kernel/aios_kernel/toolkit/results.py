"""Results too large for a context: kept as files named by their content, each agent's apart, read back in pieces."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import tempfile
import threading
import weakref
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from aios_kernel.errors import ToolError

if TYPE_CHECKING:
    from aios_kernel.abi import Agent

__all__ = ["DirectoryResults", "ResultStore", "stored_reply"]

REFERENCE = re.compile(r"result:[0-9a-f]{64}")
PREVIEW = 1000
DEFAULT_MAX_BYTES = 256 * 2**20


class ResultStore(Protocol):
    """Keep texts of agents; one agent's references mean nothing to another. Called from many threads."""

    def put(self, agent: Agent, text: str) -> str:
        """Keep a text and return its reference; the same text has the same one."""
        ...

    def get(self, agent: Agent, reference: str) -> str:
        """The text behind an agent's reference; raises `ToolError`."""
        ...


class DirectoryResults:
    """Keep results in a folder, at most `max_bytes` of them: the oldest go first. Without a folder, in a temporary one."""

    def __init__(self, root: str | os.PathLike[str] | None = None, *, max_bytes: int = DEFAULT_MAX_BYTES) -> None:
        self.root = Path(root if root is not None else tempfile.mkdtemp(prefix="aios-results-"))
        if root is None:
            weakref.finalize(self, shutil.rmtree, self.root, ignore_errors=True)
        self.root.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._max_bytes = max_bytes
        self._lock = threading.Lock()

    def put(self, agent: Agent, text: str) -> str:
        """Keep a text and return its reference."""
        data = text.encode("utf-8", "surrogatepass")
        if len(data) > self._max_bytes:
            raise ToolError(f"the result has {len(data)} bytes, more than the {self._max_bytes} that are kept")
        digest = hashlib.sha256(data).hexdigest()
        folder = self._folder(agent)
        folder.mkdir(mode=0o700, exist_ok=True)
        with self._lock:
            self._make_room(len(data))
            handle, temporary = tempfile.mkstemp(dir=folder, prefix=".")
            with os.fdopen(handle, "wb") as file:
                file.write(data)
            Path(temporary).replace(folder / digest)
        return f"result:{digest}"

    def get(self, agent: Agent, reference: str) -> str:
        """The text behind an agent's reference."""
        if REFERENCE.fullmatch(reference) is None:
            raise ToolError(
                f"{reference[:80]!r} is no reference to a result: they look like 'result:' and 64 hex digits"
            )
        try:
            data = (self._folder(agent) / reference.removeprefix("result:")).read_bytes()
        except FileNotFoundError:
            message = (
                f"there is no result {reference!r} of this agent, or it made room for newer ones: call the tool again"
            )
            raise ToolError(message) from None
        return data.decode("utf-8", "surrogatepass")

    def _folder(self, agent: Agent) -> Path:
        who = f"{agent.name}\0{agent.instance}\0{agent.framework}"
        return self.root / hashlib.sha256(who.encode("utf-8", "surrogatepass")).hexdigest()[:32]

    def _make_room(self, size: int) -> None:
        kept = [(found.stat(), found) for found in self.root.glob("*/*") if found.is_file()]
        total = sum(status.st_size for status, _ in kept) + size
        for status, path in sorted(kept, key=lambda one: one[0].st_mtime_ns):
            if total <= self._max_bytes:
                return
            with suppress(FileNotFoundError):
                path.unlink()
            total -= status.st_size


def stored_reply(reference: str, text: str) -> dict[str, Any]:
    """What the caller gets in place of a stored result."""
    return {
        "stored": reference,
        "characters": len(text),
        "preview": text[:PREVIEW],
        "note": f"The result is too large to show. Read it in pieces with aios/read_result, reference {reference!r}.",
    }
