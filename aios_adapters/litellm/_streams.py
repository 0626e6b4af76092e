"""Streams keep their grant until they end, fail, are closed or collected; their own class and attributes stay."""

from __future__ import annotations

import copy
import threading
import weakref
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from aios_adapters import calls
from aios_adapters.openai._usage import usage_of

if TYPE_CHECKING:
    from aios_kernel.abi import Usage
    from aios_kernel.gate import Grant

__all__ = ["aclose", "anext_", "handed_over", "next_", "read_usage", "repeated"]

NAME = "litellm"
Function = Callable[..., Any]


@dataclass(slots=True)
class _Reading:
    """A stream that is being read: its grant, and what a journal is to have of it, or has."""

    grant: Grant
    seen: list[Any] | None = None
    recorded: Iterator[Any] | None = None


#: The lock is held for a look only.
_READINGS: weakref.WeakKeyDictionary[Any, _Reading] = weakref.WeakKeyDictionary()
_LOCK = threading.Lock()


def read_usage(value: Any) -> Usage | None:
    """The usage that a result or a piece of a stream tells."""
    return usage_of(getattr(value, "usage", None))


def handed_over(grant: Grant, result: Any, *, keep: bool = False) -> Any:
    """Account for a finished call, or leave the grant with the stream that is still to be read.

    With `keep` a journal has the stream's pieces once they have all come.

    litellm keeps the stream that it made in its own records of the call: in a cycle, and for the thread until its next
    call. That would hold the grant of a stream that the program has dropped, and the program's next call might wait for
    it for ever. So the program gets a copy, which shares everything but nobody else has.
    """
    if not (hasattr(result, "__next__") or hasattr(result, "__anext__")):
        if grant.lease:
            calls.report(grant, read_usage, result)
        return result
    stream, kept = copy.copy(result), grant.keep()
    with _LOCK:
        _READINGS[stream] = _Reading(kept, [] if keep and calls.recording(kept) else None)
    weakref.finalize(stream, kept.release).atexit = False
    return stream


def repeated(grant: Grant, stream: Any, items: Iterable[Any]) -> Any:
    """Have a stream of litellm's own give the pieces that a journal has."""
    with _LOCK:
        _READINGS[stream] = _Reading(grant, recorded=iter(items))
    return stream


def next_(native: Function) -> Function:
    """Wrap `__next__` of a stream."""

    def __next__(self: Any) -> Any:  # noqa: N807
        reading = _reading(self)
        if reading is None:
            return native(self)
        grant = reading.grant
        try:
            if reading.recorded is not None:
                return next(reading.recorded)
            with calls.claiming(grant):
                item = native(self)
        except StopIteration:
            _ended(reading)
            raise
        except BaseException as error:
            grant.release(error)
            raise
        return _seen(reading, item)

    return __next__


def anext_(native: Function) -> Function:
    """Wrap `__anext__` of a stream."""

    async def __anext__(self: Any) -> Any:  # noqa: N807
        reading = _reading(self)
        if reading is None:
            return await native(self)
        grant = reading.grant
        try:
            if reading.recorded is not None:
                return _next(reading.recorded)
            with calls.claiming(grant):
                item = await native(self)
        except StopAsyncIteration:
            await _aended(reading)
            raise
        except BaseException as error:
            grant.release(error)
            raise
        return _seen(reading, item)

    return __anext__


def aclose(native: Function) -> Function:
    """Wrap `aclose` of a stream."""

    async def aclose(self: Any, *args: Any, **kwargs: Any) -> Any:
        try:
            return await native(self, *args, **kwargs)
        finally:
            reading = _reading(self)
            if reading is not None:
                reading.grant.release()

    return aclose


def _reading(stream: Any) -> _Reading | None:
    with _LOCK:
        return _READINGS.get(stream)


def _next(items: Iterator[Any]) -> Any:
    for item in items:
        return item
    raise StopAsyncIteration


def _seen(reading: _Reading, item: Any) -> Any:
    if reading.grant.lease:
        reading.grant.first_token()
        calls.report(reading.grant, read_usage, item)
    if reading.seen is not None:
        reading.seen.append(item)
    return item


def _ended(reading: _Reading) -> None:
    """Record what came, before the reader is told that it was all, and give the grant back; once."""
    seen, reading.seen = reading.seen, None
    try:
        if seen is not None:
            calls.record(reading.grant, seen, NAME)
    finally:
        reading.grant.release()


async def _aended(reading: _Reading) -> None:
    seen, reading.seen = reading.seen, None
    try:
        if seen is not None:
            await calls.arecord(reading.grant, seen, NAME)
    finally:
        reading.grant.release()
