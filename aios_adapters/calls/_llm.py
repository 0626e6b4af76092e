"""Calls to a language model: sync, async and streamed both ways."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncGenerator, AsyncIterable, Awaitable, Callable, Generator, Iterable
from typing import TYPE_CHECKING, TypeVar

from aios_adapters._carried import Claim, assigned, claimed
from aios_adapters.calls._gate import ReadUsage, Refused, claiming, enter_llm, refusals, report
from aios_adapters.calls._journal import arecord, given_back, pieces_back, record, recorded, recording
from aios_adapters.calls._steps import astepped, closing, left_early, stepped

if TYPE_CHECKING:
    from aios_kernel.abi import Delta, LLMCall, Reply
    from aios_kernel.gate import Grant

__all__ = ["allm_call", "allm_stream", "llm_call", "llm_stream"]

T = TypeVar("T")


def llm_call(
    adapter: str,
    build: Callable[[], LLMCall | None],
    native: Callable[[], T],
    served: Callable[[Reply], T],
    *,
    usage: ReadUsage | None = None,
    refused: Refused | None = None,
) -> T:
    """Make one call to a language model through the gate."""
    syscall = enter_llm(adapter, build)
    if syscall is None:
        return native()
    with refusals(refused), syscall as grant:
        if not grant.lease:
            kept = recorded(grant)
            return served(grant.reply()) if kept is None else given_back(kept)
        with claiming(grant):
            result = native()
        report(grant, usage, result)
        record(grant, result, adapter)
        return result


async def allm_call(
    adapter: str,
    build: Callable[[], LLMCall | None],
    native: Callable[[], Awaitable[T]],
    served: Callable[[Reply], T],
    *,
    usage: ReadUsage | None = None,
    refused: Refused | None = None,
) -> T:
    """Make one call to a language model through the gate, in the caller's event loop."""
    syscall = enter_llm(adapter, build)
    if syscall is None:
        return await native()
    with refusals(refused):
        async with syscall as grant:
            if not grant.lease:
                kept = recorded(grant)
                return served(await grant.areply()) if kept is None else given_back(kept)
            with claiming(grant):
                result = await native()
            report(grant, usage, result)
            await arecord(grant, result, adapter)
            return result


def llm_stream(
    adapter: str,
    build: Callable[[], LLMCall | None],
    native: Callable[[], Iterable[T]],
    pieces: Callable[[Delta], Iterable[T]],
    *,
    usage: ReadUsage | None = None,
    refused: Refused | None = None,
    enough: Callable[[], bool] | None = None,
) -> Generator[T, None, None]:
    """Make one streamed call; `pieces` turns each delta into the framework's items and may keep state.

    `enough` says, of a stream that is left, whether its reader always leaves it there: then it is recorded as far as that.
    """
    syscall = enter_llm(adapter, build)
    if syscall is None:
        yield from native()
        return
    with refusals(refused), syscall as grant, left_early(grant):
        if grant.lease:
            yield from _kept(grant, _watched(grant, native, usage), adapter, enough)
        elif (kept := recorded(grant)) is not None:
            yield from pieces_back(kept)
        elif enough is None:
            for delta in grant.deltas():
                yield from pieces(delta)
        else:
            yield from _kept(grant, (one for delta in grant.deltas() for one in pieces(delta)), adapter, enough)


async def allm_stream(
    adapter: str,
    build: Callable[[], LLMCall | None],
    native: Callable[[], AsyncIterable[T]],
    pieces: Callable[[Delta], Iterable[T]],
    *,
    usage: ReadUsage | None = None,
    refused: Refused | None = None,
) -> AsyncGenerator[T, None]:
    """Make one streamed call in the caller's event loop."""
    syscall = enter_llm(adapter, build)
    if syscall is None:
        async with closing(native()) as items:
            async for item in items:
                yield item
        return
    with refusals(refused):
        async with syscall as grant:
            with left_early(grant):
                if grant.lease:
                    async with closing(_awatched(grant, native, usage, adapter)) as items:
                        async for item in items:
                            yield item
                elif (kept := recorded(grant)) is not None:
                    for item in pieces_back(kept):
                        yield item
                else:
                    async with closing(grant.adeltas()) as deltas:
                        async for delta in deltas:
                            for item in pieces(delta):
                                yield item


def _kept(
    grant: Grant, items: Generator[T, None, None], adapter: str, enough: Callable[[], bool] | None
) -> Generator[T, None, None]:
    """Record a stream when it has been read, or left where it always is."""
    seen: list[T] | None = [] if recording(grant) else None
    try:
        with contextlib.closing(items):
            for item in items:
                if seen is not None:
                    seen.append(item)
                yield item
        if seen is not None and grant.lease:  # what is served is recorded as it comes
            record(grant, seen, adapter)
    except GeneratorExit:
        if seen is not None and enough is not None and enough():
            record(grant, seen, adapter, left=True)
        raise


def _watched(grant: Grant, native: Callable[[], Iterable[T]], usage: ReadUsage | None) -> Generator[T, None, None]:
    """Run the framework's stream with the guard set inside it and never in its consumer."""
    claim = Claim(grant)
    try:
        for index, item in enumerate(stepped(native, lambda: assigned(claimed, claim))):
            if index == 0:
                grant.first_token()
            report(grant, usage, item)
            yield item
    finally:
        claim.open = False


async def _awatched(
    grant: Grant, native: Callable[[], AsyncIterable[T]], usage: ReadUsage | None, adapter: str
) -> AsyncGenerator[T, None]:
    claim, first = Claim(grant), True
    seen: list[T] | None = [] if recording(grant) else None
    try:
        async with closing(astepped(native, lambda: assigned(claimed, claim))) as items:
            async for item in items:
                if first:
                    grant.first_token()
                first = False
                report(grant, usage, item)
                if seen is not None:
                    seen.append(item)
                yield item
        if seen is not None:
            await arecord(grant, seen, adapter)
    finally:
        claim.open = False
