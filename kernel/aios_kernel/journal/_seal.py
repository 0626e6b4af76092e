"""Answers as a journal's file has them: sealed under a key that lies in a file of its own beside it."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import os
import threading
import zlib
from typing import TYPE_CHECKING

from aios_kernel.errors import JournalError

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["Seal"]

MARK = "sealed:"
KEY, NONCE, TAG = 32, 16, 16  # bytes


class Seal:
    """Seal and open texts. The key is made, for its owner alone (0600), when the first text is sealed. Thread-safe.

    A text is hidden by a stream that SHAKE-256 makes of the key and a number used once, and bound by a keyed BLAKE2b:
    see design/010. What is not sealed is opened as it is.
    """

    def __init__(self, journal: Path) -> None:
        self.path = journal.with_name(f"{journal.name}.key")
        self._journal, self._key = journal, b""
        self._lock = threading.Lock()

    def renew(self) -> None:
        """Begin afresh in a forked child."""
        self._lock = threading.Lock()

    def seal(self, text: str) -> str:
        """The text as the file has it; raises `JournalError` where there is no key and none can be made."""
        key, nonce = self._have(make=True), os.urandom(NONCE)
        hidden = _mixed(key, nonce, zlib.compress(text.encode("utf-8", "surrogatepass"), 1))
        return MARK + base64.b64encode(nonce + _tag(key, nonce + hidden) + hidden).decode()

    def open(self, sealed: str) -> str:
        """The text again; raises `JournalError` without its key, or where it was changed."""
        if not sealed.startswith(MARK):
            return sealed
        key = self._have(make=False)
        try:
            data = base64.b64decode(sealed[len(MARK) :], validate=True)
        except binascii.Error:
            data = b""
        nonce, tag, hidden = data[:NONCE], data[NONCE : NONCE + TAG], data[NONCE + TAG :]
        if not hmac.compare_digest(tag, _tag(key, nonce + hidden)):
            raise JournalError(
                f"an answer in the journal {self._journal} was sealed with another key than {self.path} has"
            )
        return zlib.decompress(_mixed(key, nonce, hidden)).decode("utf-8", "surrogatepass")

    def _have(self, *, make: bool) -> bytes:
        with self._lock:
            if not self._key:
                self._key = self._found(make=make)
            return self._key

    def _found(self, *, make: bool) -> bytes:
        try:
            if make and not self.path.exists():
                self._make()
            key = self.path.read_bytes()
        except OSError as error:
            raise JournalError(
                f"the key of the journal {self._journal}, the file {self.path}, cannot be read: {error}. Without it no recorded "
                f"answer can be given back: put it back, or record anew (journal_mode='refresh')"
            ) from error
        if len(key) != KEY:
            raise JournalError(f"{self.path} is no key of a journal")
        return key

    def _make(self) -> None:
        """Put a key in place, whole and on the disk, before anything is sealed with it; the first of several wins."""
        made = self.path.with_name(f"{self.path.name}.{os.getpid()}.{os.urandom(4).hex()}")
        descriptor = os.open(made, os.O_CREAT | os.O_EXCL | os.O_WRONLY | getattr(os, "O_BINARY", 0), 0o600)
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(os.urandom(KEY))
                file.flush()
                os.fsync(file.fileno())
            try:
                os.link(made, self.path)
            except FileExistsError:
                return
        finally:
            made.unlink()
        _sync(self.path.parent)


def _mixed(key: bytes, nonce: bytes, data: bytes) -> bytes:
    stream = hashlib.shake_256(b"stream" + key + nonce).digest(len(data))
    return (int.from_bytes(data, "big") ^ int.from_bytes(stream, "big")).to_bytes(len(data), "big")


def _tag(key: bytes, data: bytes) -> bytes:
    return hashlib.blake2b(data, key=key, digest_size=TAG, person=b"aios journal").digest()


def _sync(folder: Path) -> None:
    if os.name == "nt":
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
