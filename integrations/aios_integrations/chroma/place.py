"""The folder of an index: whose it is, whether it can be trusted, and how it is thrown away."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from pathlib import Path

try:
    import fcntl
except ImportError:  # no way to know that we are the only process
    fcntl = None

__all__ = ["Place"]

MARKER = "whole.json"
CHUNK = 1 << 20


class Place:
    """A folder that one process has at a time.

    chromadb may hang on damaged files, or make them grow without end, so it is never shown any that it did not itself
    close: a marker with the checksums of all files is written after a clean close and removed before it opens them.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.data = folder / "data"
        self._lock: int | None = None

    def take(self) -> bool:
        """Have the folder to ourselves; False while another process has it."""
        if self._lock is not None:
            return True
        if fcntl is None:
            return False
        self.folder.mkdir(parents=True, exist_ok=True)
        number = os.open(self.folder / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(number, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(number)
            return False
        self._lock = number
        return True

    def open(self, identity: int) -> int:
        """Return the stamp up to which the files are whole, for a store of this identity; 0: they were thrown away."""
        marker = self._marker()
        (self.folder / MARKER).unlink(missing_ok=True)
        if marker.get("identity") == identity and marker.get("files") == self._sums():
            stamp = marker.get("stamp")
            return stamp if isinstance(stamp, int) else 0
        self.wipe()
        return 0

    def seal(self, identity: int, stamp: int) -> None:
        """Note that the files were closed cleanly."""
        text = json.dumps({"identity": identity, "stamp": stamp, "files": self._sums()})
        part = self.folder / f"{MARKER}.part"
        part.write_text(text, encoding="utf-8")
        part.replace(self.folder / MARKER)

    def wipe(self) -> None:
        """Throw the files away."""
        (self.folder / MARKER).unlink(missing_ok=True)
        shutil.rmtree(self.data, ignore_errors=True)

    def leave(self) -> None:
        """Let others have the folder."""
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def _marker(self) -> dict[str, object]:
        try:
            found = json.loads((self.folder / MARKER).read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return {}
        return found if isinstance(found, dict) else {}  # pyright: ignore[reportUnknownVariableType]

    def _sums(self) -> dict[str, str]:
        files = (path for path in sorted(self.data.rglob("*")) if path.is_file())
        return {str(path.relative_to(self.data)): _sum(path) for path in files}


def _sum(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(CHUNK):
            digest.update(chunk)
    return digest.hexdigest()
