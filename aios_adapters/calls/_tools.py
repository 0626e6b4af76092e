"""Tools: a refusal and a failure reach the framework in the framework's own form."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncGenerator, AsyncIterable, Awaitable, Callable, Generator, Iterable
from typing import TYPE_CHECKING, Any, TypeVar

from aios_adapters._carried import assigned, claimed, tool_stack
from aios_adapters.calls._entry import Entry
from aios_adapters.calls._gate import enter
from aios_adapters.calls._journal import arecord_tool, given_back, record_tool, recorded, recording
from aios_adapters.calls._steps import astepped, closing, left_early, stepped
from aios_kernel.errors import JournalError, SyscallError

if TYPE_CHECKING:
    from aios_kernel.abi import Call
    from aios_kernel.gate import Grant

__all__ = ["atool_call", "atool_stream", "tool_call", "tool_stream"]

T = TypeVar("T")


def tool_call(
    adapter: str,
    build: Callable[[], Call | None],
    run: Callable[[], T],
    denied: Callable[[SyscallError], T],
    *,
    failed: Callable[[T], BaseException | None] | None = None,
    key: Any = None,
) -> T:
    """Run a tool through the gate; a refusal comes back as what `denied` makes of it, or raises.

    `failed` finds the error in a result, where the framework reports errors as results. A call made directly inside
    another of the same `key` (a method that calls its base's) is the same call.
    """
    syscall = _enter_tool(adapter, build, key)
    if syscall is None:
        return run()
    with contextlib.ExitStack() as stack:
        try:
            grant = stack.enter_context(syscall)
        except JournalError:
            raise
        except SyscallError as error:
            return denied(error)
        if (kept := recorded(grant)) is not None:
            return given_back(kept, grant)
        stack.enter_context(_in_tool(key))
        result = run()
        if not _failed(grant, result, failed):
            record_tool(grant, result)
        return result


async def atool_call(
    adapter: str,
    build: Callable[[], Call | None],
    run: Callable[[], Awaitable[T]],
    denied: Callable[[SyscallError], T],
    *,
    failed: Callable[[T], BaseException | None] | None = None,
    key: Any = None,
) -> T:
    """Run a tool through the gate, in the caller's event loop."""
    syscall = _enter_tool(adapter, build, key)
    if syscall is None:
        return await run()
    async with contextlib.AsyncExitStack() as stack:
        try:
            grant = await stack.enter_async_context(syscall)
        except JournalError:
            raise
        except SyscallError as error:
            return denied(error)
        if (kept := recorded(grant)) is not None:
            return given_back(kept, grant)
        stack.enter_context(_in_tool(key))
        result = await run()
        if not _failed(grant, result, failed):
            await arecord_tool(grant, result)
        return result


def tool_stream(
    adapter: str,
    build: Callable[[], Call | None],
    run: Callable[[], Iterable[T]],
    denied: Callable[[SyscallError], Iterable[T]],
    *,
    key: Any = None,
) -> Generator[T, None, None]:
    """Run a tool that yields its results through the gate."""
    syscall = _enter_tool(adapter, build, key)
    if syscall is None:
        yield from run()
        return
    with contextlib.ExitStack() as stack:
        try:
            grant = stack.enter_context(syscall)
        except JournalError:
            raise
        except SyscallError as error:
            yield from denied(error)
            return
        stack.enter_context(left_early(grant))
        if (kept := recorded(grant)) is not None:
            yield from given_back(kept, grant)
            return
        seen: list[T] | None = [] if recording(grant) else None
        for item in stepped(run, lambda: _in_tool(key)):
            if seen is not None:
                seen.append(item)
            yield item
        record_tool(grant, seen)


async def atool_stream(
    adapter: str,
    build: Callable[[], Call | None],
    run: Callable[[], AsyncIterable[T]],
    denied: Callable[[SyscallError], Iterable[T]],
    *,
    key: Any = None,
) -> AsyncGenerator[T, None]:
    """Run a tool that yields its results through the gate, in the caller's event loop."""
    syscall = _enter_tool(adapter, build, key)
    if syscall is None:
        async with closing(run()) as items:
            async for item in items:
                yield item
        return
    async with contextlib.AsyncExitStack() as stack:
        try:
            grant = await stack.enter_async_context(syscall)
        except JournalError:
            raise
        except SyscallError as error:
            for item in denied(error):
                yield item
            return
        stack.enter_context(left_early(grant))
        if (kept := recorded(grant)) is not None:
            for item in given_back(kept, grant):
                yield item
            return
        seen: list[T] | None = [] if recording(grant) else None
        items = await stack.enter_async_context(closing(astepped(run, lambda: _in_tool(key))))
        async for item in items:
            if seen is not None:
                seen.append(item)
            yield item
        await arecord_tool(grant, seen)


def _enter_tool(adapter: str, build: Callable[[], Call | None], key: Any) -> Entry | None:
    if key is not None and tool_stack.get()[-1:] == (key,):
        return None
    return enter(adapter, build, lease=True)


@contextlib.contextmanager
def _in_tool(key: Any) -> Generator[None, None, None]:
    """Clear the LLM claim: a call to a model inside a tool is a syscall of its own."""
    with assigned(claimed, None), assigned(tool_stack, (*tool_stack.get(), key)):
        yield


def _failed(grant: Grant, result: T, failed: Callable[[T], BaseException | None] | None) -> bool:
    error = failed(result) if failed is not None else None
    if error is not None:
        grant.release(error)
    return error is not None
