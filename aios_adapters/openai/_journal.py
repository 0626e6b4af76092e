"""What a journal keeps of the SDK's own calls: the body of the answer, from which the SDK makes its result again."""

from __future__ import annotations

import json
import re
import zlib
from typing import TYPE_CHECKING, Any

from aios_adapters import calls
from aios_adapters._log import warn_once

if TYPE_CHECKING:
    from aios_kernel.gate import Grant

__all__ = ["BODY", "Body", "akeep", "keep"]

BODY = "openai"  # the form of what is recorded here
_ENDED = re.compile(rb'data:\s*\[DONE\]|"type"\s*:\s*"response\.(?:completed|incomplete)"')
_BROKEN = re.compile(rb'(?:^|\n)data:\s*\{\s*"error"|"type"\s*:\s*"(?:error|response\.failed)"')
_FINISHED = re.compile(rb'"finish_reason"\s*:\s*"')
TAIL = 64  # bytes: what ends a stream may come in two pieces


def keep(grant: Grant, response: Any, result: Any) -> None:
    """Record a finished call: the SDK's response if it gave one, else what it parsed."""
    if calls.recording(grant) and (body := _body(grant, response, result)) is not None:
        recorder: Any = grant
        recorder.record({BODY: body})


async def akeep(grant: Grant, response: Any, result: Any) -> None:
    """Do the same in this event loop."""
    if calls.recording(grant) and (body := _body(grant, response, result)) is not None:
        recorder: Any = grant
        await recorder.arecord({BODY: body})


def _body(grant: Any, response: Any, result: Any) -> dict[str, str] | None:
    if response is not None:
        return _kept(response.text, response.headers)
    dump = getattr(result, "model_dump", None)
    try:
        parsed = result if dump is None else dump(mode="json", by_alias=True, exclude_unset=True, warnings=False)
        text = json.dumps(parsed)
    except (TypeError, ValueError) as error:  # the program asked for a type of its own
        warn_once(f"a result of the openai SDK cannot be journaled, so its call will be made again: {error}")
        grant.unrecorded()
        return None
    headers = {"content-type": "application/json", "x-request-id": getattr(result, "_request_id", None) or ""}
    return _kept(text, headers)


def _kept(text: str, headers: Any) -> dict[str, str]:
    return {"text": text, "type": headers.get("content-type", ""), "id": headers.get("x-request-id", "")}


class Body:
    """The body of a stream as it goes by, until it is whole."""

    def __init__(self, headers: Any) -> None:
        encoding = headers.get("content-encoding", "")
        self._headers = headers
        self._unpack = zlib.decompressobj(47).decompress if encoding in {"gzip", "deflate"} else None
        self._readable = encoding in {"", "identity", "gzip", "deflate"}
        self._events = "event-stream" in headers.get("content-type", "")
        self._data = bytearray()
        self._given = False

    @property
    def finished(self) -> bool:
        """Whether the reply's last piece has come; a usage may come after it, and the mark of the end."""
        return self._events and _FINISHED.search(self._data) is not None

    def feed(self, data: bytes, *, end: bool = False) -> dict[str, Any] | None:
        """Take a piece; return what is to be recorded once the body is whole, before its reader has the end of it."""
        if not self._readable or self._given:
            return None
        searched = max(0, len(self._data) - TAIL)
        try:
            self._data += data if self._unpack is None else self._unpack(data)
        except zlib.error:
            self._readable = False
            return None
        if not end and not (self._events and _ENDED.search(self._data, searched)):
            return None
        self._given = True
        if _BROKEN.search(self._data):  # the endpoint broke off: another run may fare better
            return None
        return {BODY: _kept(self._data.decode("utf-8", "replace"), self._headers)}
