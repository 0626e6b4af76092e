"""The gates: litellm's public functions, and the look into its cache, below which a call really is one."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, cast

from aios_adapters import calls
from aios_adapters._carried import assigned
from aios_adapters.litellm._request import Request
from aios_adapters.litellm._served import Served, placeholder, serving
from aios_adapters.litellm._streams import NAME, handed_over, repeated

if TYPE_CHECKING:
    from aios_adapters.calls._entry import Entry
    from aios_kernel.gate import Grant

__all__ = ["acache", "afunction", "cache", "function"]

Function = Callable[..., Any]
Wrap = Callable[[Function], Function]


class _Series:
    """One logical call, its retries included. Where a cache comes first, the kernel is entered after its miss."""

    def __init__(self, request: Request, native: Function, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        self.request = request
        self.served = Served(request)
        self.asked = False
        self.grant: Grant | None = None
        self.kept: Any = None  # what a journal has of an earlier run's result
        self._native, self._args, self._kwargs = native, args, kwargs

    def call(self) -> Any:
        """Make litellm's own call, which is given the kernel's answer where there is one."""
        kwargs = {**self._kwargs, **placeholder(self.request.kind)} if self.served.ready else self._kwargs
        return self._native(*self._args, **kwargs)

    def syscall(self) -> Entry | None:
        """Prepare the syscall, once."""
        if self.asked:
            return None
        self.asked = True
        return calls.enter_llm(NAME, self.request.build)

    def enter(self, stack: contextlib.ExitStack, syscall: Entry) -> None:
        """Wait for the grant, in this thread."""
        self.grant = stack.enter_context(syscall)
        self.kept = calls.recorded(self.grant)
        if not self.grant.lease and self.kept is None:
            self.served.ask(self.grant)
        stack.enter_context(calls.claiming(self.grant))

    async def aenter(self, stack: contextlib.AsyncExitStack, syscall: Entry) -> None:
        """Wait for the grant, in the caller's event loop."""
        self.grant = await stack.enter_async_context(syscall)
        self.kept = calls.recorded(self.grant)
        if not self.grant.lease and self.kept is None:
            await self.served.aask(self.grant)
        stack.enter_context(calls.claiming(self.grant))

    @property
    def granted(self) -> Grant:
        """The grant that was entered."""
        return cast("Grant", self.grant)

    def again(self) -> tuple[bool, Any]:
        """What a journal gives back, and whether that is a stream's pieces."""
        result: Any = calls.given_back(self.kept)
        if self.request.stream and isinstance(result, list):
            self.served.repeat(self.granted)
        return self.served.ready, cast("Any", result)

    def done(self, result: Any) -> tuple[Any, bool]:
        """What is handed out, and whether it is to be recorded now; a stream keeps the grant and is recorded at its end."""
        if self.grant is None:
            return result, False
        # Where litellm's own cache comes first, the next run may find the answer there, and not ask for it.
        keep = self.grant.lease and not self.request.cached
        handed = handed_over(self.grant, result, keep=keep)
        return handed, keep and handed is result


#: The series of this context that has not entered the kernel yet, and what leaves it again.
_pending: ContextVar[tuple[_Series, Any] | None] = ContextVar("aios_litellm_pending", default=None)


def function(kind: str, *, decorated: bool = True) -> Wrap:
    """Gate a synchronous function; or what litellm's decorator keeps of it, where calls come that have no gate above.

    Those are calls of functions that were taken before `enable()`. They have missed the cache, if there is one.
    """

    def wrap(native: Function) -> Function:
        def call(*args: Any, **kwargs: Any) -> Any:
            request = Request(kind, native, args, kwargs)
            series = _Series(request, native, args, kwargs)
            inner = serving.get()
            if inner is not None and inner.ready:
                return native(*args, **{**kwargs, **placeholder(kind)})
            if calls.inside_llm() or _pending.get() is not None:
                return native(*args, **kwargs)
            if request.nested:
                result = native(*args, **kwargs)
                return _late(series, result) if decorated and asyncio.iscoroutine(result) else result
            return _run(series, cached=decorated and request.cached)

        return call

    return wrap


def afunction(kind: str) -> Wrap:
    """Gate a coroutine function."""

    def wrap(native: Function) -> Function:
        async def call(*args: Any, **kwargs: Any) -> Any:
            if calls.inside_llm() or _pending.get() is not None:
                return await native(*args, **kwargs)
            series = _Series(Request(kind, native, args, kwargs), native, args, kwargs)
            return await _arun(series)

        return call

    return wrap


def _run(series: _Series, *, cached: bool) -> Any:
    with calls.refusals(series.request.refused), contextlib.ExitStack() as stack:
        if cached:
            stack.enter_context(assigned(_pending, (series, stack)))
        else:
            syscall = series.syscall()
            if syscall is None:
                return series.call()
            series.enter(stack, syscall)
        stack.enter_context(assigned(serving, series.served))
        if series.kept is not None:
            streamed, result = series.again()
            return repeated(series.granted, series.call(), result) if streamed else result
        result, whole = series.done(series.call())
        if whole:
            calls.record(series.granted, result, NAME)
        return result


async def _arun(series: _Series) -> Any:
    with calls.refusals(series.request.refused):
        async with contextlib.AsyncExitStack() as stack:
            if series.request.cached:
                stack.enter_context(assigned(_pending, (series, stack)))
            else:
                syscall = series.syscall()
                if syscall is None:
                    return await series.call()
                await series.aenter(stack, syscall)
            stack.enter_context(assigned(serving, series.served))
            if series.kept is not None:
                streamed, result = series.again()
                return repeated(series.granted, await series.call(), result) if streamed else result
            result, whole = series.done(await series.call())
            if whole:
                await calls.arecord(series.granted, result, NAME)
            return result


async def _late(series: _Series, pending: Any) -> Any:
    """The asynchronous half of a call whose function was taken before `enable()`."""
    syscall = series.syscall()
    if syscall is None:
        return await pending
    with calls.refusals(series.request.refused):
        async with contextlib.AsyncExitStack() as stack:
            try:
                await series.aenter(stack, syscall)
            except BaseException:
                pending.close()
                raise
            if series.kept is not None or series.served.ready:
                pending.close()
                stack.enter_context(assigned(serving, series.served))
                return _instead(series)
            result, whole = series.done(await pending)
            if whole:
                await calls.arecord(series.granted, result, NAME)
            return result


def _instead(series: _Series) -> Any:
    """What is handed out in the place of a call that was prepared and is not made."""
    if series.kept is None:
        return series.done(series.call())[0]
    streamed, result = series.again()
    return repeated(series.granted, series.call(), result) if streamed else result


# The cache -----------------------------------------------------------------------------------------------------------


def cache(native: Function) -> Function:
    """Wrap the synchronous look into the cache."""

    def get_cache(self: Any, *args: Any, **kwargs: Any) -> Any:
        found = native(self, *args, **kwargs)
        waiting = _pending.get()
        if waiting is not None and _missed(found):
            series, stack = waiting
            syscall = series.syscall()
            if syscall is not None:
                series.enter(stack, syscall)
                if series.served.ready:
                    # litellm goes on with this very dictionary.
                    kwargs["kwargs"].update(placeholder(series.request.kind))
        return found

    return get_cache


def acache(native: Function) -> Function:
    """Wrap the asynchronous look into the cache."""

    async def get_cache(self: Any, *args: Any, **kwargs: Any) -> Any:
        found = await native(self, *args, **kwargs)
        waiting = _pending.get()
        if waiting is not None and _missed(found):
            series, stack = waiting
            syscall = series.syscall()
            if syscall is not None:
                await series.aenter(stack, syscall)
        return found

    return get_cache


def _missed(found: Any) -> bool:
    if found is None:
        return True
    return found.cached_result is None and getattr(found, "embedding_all_elements_cache_hit", None) is not True
