"""Memory: reads and writes of a framework's own stores are syscalls; the framework's own store does the work."""

from __future__ import annotations

import contextlib
from collections.abc import Awaitable, Callable, Generator
from typing import TYPE_CHECKING, Any, TypeVar

from aios_adapters._carried import assigned, memory_stack
from aios_adapters.calls._gate import enter

if TYPE_CHECKING:
    from aios_adapters.calls._entry import Entry
    from aios_kernel.abi import MemoryCall

__all__ = ["amemory_call", "memory_call"]

T = TypeVar("T")


def memory_call(adapter: str, build: Callable[[], MemoryCall | None], run: Callable[[], T], *, key: Any = None) -> T:
    """Read or write memory through the gate; a refusal raises `SyscallError`.

    A call made inside another of the same `key` (a method that calls its siblings on the same store) is a part of it.
    """
    syscall = _enter_memory(adapter, build, key)
    if syscall is None:
        return run()
    with syscall, _in_memory(key):
        return run()


async def amemory_call(
    adapter: str, build: Callable[[], MemoryCall | None], run: Callable[[], Awaitable[T]], *, key: Any = None
) -> T:
    """Read or write memory through the gate, in the caller's event loop."""
    syscall = _enter_memory(adapter, build, key)
    if syscall is None:
        return await run()
    async with syscall:
        with _in_memory(key):
            return await run()


def _enter_memory(adapter: str, build: Callable[[], MemoryCall | None], key: Any) -> Entry | None:
    if key is not None and key in memory_stack.get():
        return None
    return enter(adapter, build)


@contextlib.contextmanager
def _in_memory(key: Any) -> Generator[None, None, None]:
    with assigned(memory_stack, (*memory_stack.get(), key)):
        yield
