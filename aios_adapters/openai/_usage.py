"""Token usage, read from what the SDK parsed or from the bytes that pass, without changing them."""

from __future__ import annotations

import json
import re
import zlib
from collections.abc import Mapping
from typing import Any, cast

from aios_kernel.abi import Usage

__all__ = ["UsageWatch", "usage_in", "usage_of"]

TAIL = 32_768  # bytes: the usage stands at the end of a body, and nothing longer than this comes after it
_USAGE = re.compile(r'"usage"\s*:\s*(?=\{)')
_NAMES = (("prompt_tokens", "completion_tokens"), ("input_tokens", "output_tokens"))


def usage_of(value: Any) -> Usage | None:
    """Read a usage object of any of the APIs, parsed or plain; None when it is not one."""
    for into, out in _NAMES:
        given = _get(value, into)
        if isinstance(given, int):
            details = _get(value, f"{into}_details")
            made, cached = _get(value, out), _get(details, "cached_tokens")
            return Usage(
                input_tokens=given,
                output_tokens=made if isinstance(made, int) else 0,
                cached_tokens=cached if isinstance(cached, int) else 0,
            )
    return None


def usage_in(body: bytes | bytearray) -> Usage | None:
    """Find the last usage object in a JSON body or in the end of an event stream."""
    text = body[-TAIL:].decode("utf-8", "replace")
    for match in reversed(list(_USAGE.finditer(text))):
        try:
            value, _ = json.JSONDecoder().raw_decode(text, match.end())
        except ValueError:
            continue
        found = usage_of(value)
        if found is not None:
            return found
    return None


class UsageWatch:
    """See the bytes of a body go by and remember its end."""

    def __init__(self, encoding: str = "") -> None:
        self._tail = bytearray()
        self._unpack = zlib.decompressobj(47).decompress if encoding in {"gzip", "deflate"} else None
        self._readable = encoding in {"", "identity", "gzip", "deflate"}

    def feed(self, data: bytes) -> None:
        """Note a piece of the body."""
        if not self._readable:
            return
        try:
            self._tail += data if self._unpack is None else self._unpack(data)
        except zlib.error:
            self._readable = False
        if len(self._tail) > 2 * TAIL:
            del self._tail[:-TAIL]

    def usage(self) -> Usage | None:
        """What the body said so far."""
        return usage_in(self._tail) if self._readable else None


def _get(value: Any, name: str) -> Any:
    if isinstance(value, Mapping):
        return cast("Mapping[str, Any]", value).get(name)
    return getattr(value, name, None)
