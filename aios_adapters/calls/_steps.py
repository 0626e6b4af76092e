"""Generators: a scope around each step of an iterator, and closing what is left early."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncGenerator, AsyncIterable, Callable, Generator, Iterable
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from aios_kernel.gate import Grant

__all__ = ["astepped", "closing", "left_early", "stepped"]

T = TypeVar("T")
Scope = Callable[[], AbstractContextManager[object]]


def stepped(make: Callable[[], Iterable[T]], scope: Scope) -> Generator[T, None, None]:
    """Iterate with `scope` around each step, never across a yield: there it would leak to the consumer."""
    with scope():
        iterator = iter(make())
    try:
        while True:
            with scope():
                try:
                    item = next(iterator)
                except StopIteration:
                    return
            yield item
    finally:
        close = getattr(iterator, "close", None)
        if close is not None:
            with scope():
                close()


async def astepped(make: Callable[[], AsyncIterable[T]], scope: Scope) -> AsyncGenerator[T, None]:
    with scope():
        iterator = aiter(make())
    try:
        while True:
            with scope():
                try:
                    item = await anext(iterator)
                except StopAsyncIteration:
                    return
            yield item
    finally:
        aclose = getattr(iterator, "aclose", None)
        if aclose is not None:
            with scope():
                await aclose()


@contextlib.asynccontextmanager
async def closing(items: AsyncIterable[T]) -> AsyncGenerator[AsyncIterable[T], None]:
    """Close an asynchronous iterator that has a way to be closed."""
    try:
        yield items
    finally:
        aclose = getattr(items, "aclose", None)
        if aclose is not None:
            await aclose()


@contextlib.contextmanager
def left_early(grant: Grant) -> Generator[None, None, None]:
    """A consumer that stops reading has not failed."""
    try:
        yield
    except GeneratorExit:
        grant.release()
        raise
