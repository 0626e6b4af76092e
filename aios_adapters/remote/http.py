"""Just enough HTTP/1.1 for one request whose body and answer stay open: heads, and chunks both ways."""

from __future__ import annotations

from aios_kernel.address import CHANNEL
from aios_kernel.protocol import ProtocolError

__all__ = ["END", "Answer", "chunk", "head"]

END = b"0\r\n\r\n"
LONGEST_HEAD = 65_536


def head(host: str, token: str) -> bytes:
    """The head of the request; its body follows in chunks."""
    lines = [
        f"POST {CHANNEL} HTTP/1.1",
        f"Host: {host}",
        "Content-Type: application/x-ndjson",
        "Transfer-Encoding: chunked",
        *([f"Authorization: Bearer {token}"] if token else []),
    ]
    return "\r\n".join([*lines, "", ""]).encode("latin-1")


def chunk(data: bytes) -> bytes:
    """A piece of the body."""
    return b"%x\r\n%s\r\n" % (len(data), data)


class Answer:
    """Read the answer as its bytes arrive: `status` once its head is there, then what its chunks hold."""

    def __init__(self) -> None:
        self.status = 0
        self.ended = False
        self._data = bytearray()
        self._chunked = False
        self._left: int | None = None  # bytes of the body, or of the chunk that is being read, still to come

    def feed(self, data: bytes) -> bytes:
        """Take bytes from the connection and return what they add to the body; raises `ProtocolError`."""
        self._data += data
        if not self.status and not self._read_head():
            return b""
        try:
            return self._read_chunks() if self._chunked else self._read_plain()
        except ValueError as error:
            raise ProtocolError(f"the answer is not HTTP: {error}") from None

    def _read_head(self) -> bool:
        end = self._data.find(b"\r\n\r\n")
        if end < 0:
            if len(self._data) > LONGEST_HEAD:
                raise ProtocolError("the answer's head has no end")
            return False
        first, *lines = self._data[:end].decode("latin-1").split("\r\n")
        del self._data[: end + 4]
        version, _, rest = first.partition(" ")
        if not version.startswith("HTTP/1.") or not rest[:3].isdigit():
            raise ProtocolError(f"the answer is not HTTP: {first[:80]!r}")
        fields = {name.strip().lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        self._chunked = "chunked" in fields.get("transfer-encoding", "").lower()
        length = fields.get("content-length", "")
        self._left = int(length) if not self._chunked and length.isdigit() else None
        self.status = int(rest[:3])
        return True

    def _read_plain(self) -> bytes:
        found = bytes(self._data)
        self._data.clear()
        if self._left is not None:
            self._left -= len(found)
            self.ended = self._left <= 0
        return found

    def _read_chunks(self) -> bytes:
        found = bytearray()
        while not self.ended:
            if self._left is None:
                end = self._data.find(b"\r\n")
                if end < 0:
                    break
                self._left = int(bytes(self._data[:end]).partition(b";")[0], 16)
                del self._data[: end + 2]
                self.ended = self._left == 0
                continue
            if len(self._data) < self._left + 2:
                break
            found += self._data[: self._left]
            del self._data[: self._left + 2]
            self._left = None
        return bytes(found)
