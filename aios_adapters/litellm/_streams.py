"""Streams keep their grant until they end, fail, are closed or collected; their own class and attributes stay."""

from __future__ import annotations

import copy
import threading
import weakref
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from aios_adapters import calls
from aios_adapters.openai._usage import usage_of

if TYPE_CHECKING:
    from aios_kernel.abi import Usage
    from aios_kernel.gate import Grant

__all__ = ["aclose", "anext_", "handed_over", "next_", "read_usage"]

Function = Callable[..., Any]
#: The grants of streams that are being read. The lock is held for a look only.
_GRANTS: weakref.WeakKeyDictionary[Any, Grant] = weakref.WeakKeyDictionary()
_LOCK = threading.Lock()


def read_usage(value: Any) -> Usage | None:
    """The usage that a result or a piece of a stream tells."""
    return usage_of(getattr(value, "usage", None))


def handed_over(grant: Grant, result: Any) -> Any:
    """Account for a finished call, or leave the grant with the stream that is still to be read.

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
        _GRANTS[stream] = kept
    weakref.finalize(stream, kept.release).atexit = False
    return stream


def next_(native: Function) -> Function:
    """Wrap `__next__` of a stream."""

    def __next__(self: Any) -> Any:  # noqa: N807
        grant = _grant(self)
        if grant is None:
            return native(self)
        try:
            with calls.claiming(grant):
                item = native(self)
        except StopIteration:
            grant.release()
            raise
        except BaseException as error:
            grant.release(error)
            raise
        return _seen(grant, item)

    return __next__


def anext_(native: Function) -> Function:
    """Wrap `__anext__` of a stream."""

    async def __anext__(self: Any) -> Any:  # noqa: N807
        grant = _grant(self)
        if grant is None:
            return await native(self)
        try:
            with calls.claiming(grant):
                item = await native(self)
        except StopAsyncIteration:
            grant.release()
            raise
        except BaseException as error:
            grant.release(error)
            raise
        return _seen(grant, item)

    return __anext__


def aclose(native: Function) -> Function:
    """Wrap `aclose` of a stream."""

    async def aclose(self: Any, *args: Any, **kwargs: Any) -> Any:
        try:
            return await native(self, *args, **kwargs)
        finally:
            grant = _grant(self)
            if grant is not None:
                grant.release()

    return aclose


def _grant(stream: Any) -> Grant | None:
    with _LOCK:
        return _GRANTS.get(stream)


def _seen(grant: Grant, item: Any) -> Any:
    if grant.lease:
        grant.first_token()
        calls.report(grant, read_usage, item)
    return item
