"""Memory: reads and writes of a framework's own stores are syscalls; the framework's own store does the work."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncGenerator, AsyncIterable, Awaitable, Callable, Generator, Iterable, Mapping
from typing import TYPE_CHECKING, Any, Literal, TypeVar

from aios_adapters._carried import assigned, memory_stack
from aios_adapters.calls._gate import enter
from aios_adapters.calls._steps import astepped, closing, left_early, stepped
from aios_adapters.calls._visits import Visit, Visits, visit
from aios_kernel.abi import MemoryCall

if TYPE_CHECKING:
    from aios_adapters.calls._entry import Entry
    from aios_adapters.shelves import Keeper

__all__ = ["Store", "amemory_call", "amemory_stream", "memory_call", "memory_stream"]

T = TypeVar("T")
Function = Callable[..., Any]
Verb = Literal["add", "get", "update", "remove", "retrieve", "list"]
#: What a call's arguments say of it: of its positional and its keyword arguments.
Describe = Callable[["tuple[Any, ...]", Mapping[str, Any]], Mapping[str, Any]]


def memory_call(
    adapter: str,
    build: Callable[[], MemoryCall | None],
    run: Callable[[], T],
    *,
    key: Any = None,
    at: Visit | Visits | None = None,
) -> T:
    """Read or write memory through the gate; a refusal raises `SyscallError`.

    A call made inside another of the same `key` (a method that calls its siblings on the same store) is a part of it. `at` is the
    store's shelf in the kernel's memory, if it has one.
    """
    syscall = _enter_memory(adapter, build, key)
    if syscall is None:
        return run()
    with syscall, _in_memory(key):
        if at is None:
            return run()
        at.before()
        try:
            return run()
        finally:  # also a method that raised may have changed something
            at.after()


async def amemory_call(
    adapter: str,
    build: Callable[[], MemoryCall | None],
    run: Callable[[], Awaitable[T]],
    *,
    key: Any = None,
    at: Visit | Visits | None = None,
) -> T:
    """Read or write memory through the gate, in the caller's event loop."""
    syscall = _enter_memory(adapter, build, key)
    if syscall is None:
        return await run()
    async with syscall:
        with _in_memory(key):
            if at is None:
                return await run()
            await at.abefore()
            try:
                return await run()
            finally:
                await at.aafter()


def memory_stream(
    adapter: str, build: Callable[[], MemoryCall | None], run: Callable[[], Iterable[T]], *, key: Any = None
) -> Generator[T, None, None]:
    """Read memory item by item through the gate."""
    syscall = _enter_memory(adapter, build, key)
    if syscall is None:
        yield from run()
        return
    with syscall as grant, left_early(grant):
        yield from stepped(run, lambda: _in_memory(key))


async def amemory_stream(
    adapter: str, build: Callable[[], MemoryCall | None], run: Callable[[], AsyncIterable[T]], *, key: Any = None
) -> AsyncGenerator[T, None]:
    """Read memory item by item through the gate, in the caller's event loop."""
    syscall = _enter_memory(adapter, build, key)
    if syscall is None:
        async with closing(run()) as items:
            async for item in items:
                yield item
        return
    async with syscall as grant:
        with left_early(grant):
            async with closing(astepped(run, lambda: _in_memory(key))) as items:
                async for item in items:
                    yield item


class Store:
    """Makes wrappers for the methods of a framework's stores, for a table of patches.

    Each method is one call of a verb. `describe` says what for, in plain data; a method that calls others of the same
    store is one call. `keeper(store)` says how the store keeps its items, None for one that keeps them where it likes:
    with `enable(memory=True)` they are in the kernel's memory too.
    """

    def __init__(self, adapter: str, keeper: Callable[[Any], Keeper | None] | None = None) -> None:
        self._adapter, self._keeper = adapter, keeper

    def plain(self, verb: Verb, describe: Describe | None = None) -> Callable[[Function], Function]:
        """Wrap a method."""

        def wrap(native: Function) -> Function:
            def method(store: Any, *args: Any, **kwargs: Any) -> Any:
                build = self._builder(verb, describe, native, store, args, kwargs)
                return memory_call(
                    self._adapter,
                    build,
                    lambda: native(store, *args, **kwargs),
                    key=(self._adapter, id(store)),
                    at=self._visit(describe, store, args, kwargs),
                )

            return method

        return wrap

    def coroutine(self, verb: Verb, describe: Describe | None = None) -> Callable[[Function], Function]:
        """Wrap a coroutine method."""

        def wrap(native: Function) -> Function:
            async def method(store: Any, *args: Any, **kwargs: Any) -> Any:
                build = self._builder(verb, describe, native, store, args, kwargs)
                return await amemory_call(
                    self._adapter,
                    build,
                    lambda: native(store, *args, **kwargs),
                    key=(self._adapter, id(store)),
                    at=self._visit(describe, store, args, kwargs),
                )

            return method

        return wrap

    def generator(self, verb: Verb, describe: Describe | None = None) -> Callable[[Function], Function]:
        """Wrap a method that yields."""

        def wrap(native: Function) -> Function:
            def method(store: Any, *args: Any, **kwargs: Any) -> Any:
                build = self._builder(verb, describe, native, store, args, kwargs)
                yield from memory_stream(
                    self._adapter, build, lambda: native(store, *args, **kwargs), key=(self._adapter, id(store))
                )

            return method

        return wrap

    def asynchronous_generator(self, verb: Verb, describe: Describe | None = None) -> Callable[[Function], Function]:
        """Wrap an asynchronous method that yields."""

        def wrap(native: Function) -> Function:
            async def method(store: Any, *args: Any, **kwargs: Any) -> Any:
                build = self._builder(verb, describe, native, store, args, kwargs)
                made = amemory_stream(
                    self._adapter, build, lambda: native(store, *args, **kwargs), key=(self._adapter, id(store))
                )
                async with closing(made) as items:
                    async for item in items:
                        yield item

            return method

        return wrap

    def _visit(
        self, describe: Describe | None, store: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any]
    ) -> Visit | None:
        return visit(store, self._keeper, lambda: describe(args, kwargs) if describe is not None else {})

    def _builder(
        self,
        verb: Verb,
        describe: Describe | None,
        native: Function,
        store: Any,
        args: tuple[Any, ...],
        kwargs: Mapping[str, Any],
    ) -> Callable[[], MemoryCall]:
        def build() -> MemoryCall:
            told: Mapping[str, Any] = describe(args, kwargs) if describe is not None else {}
            arguments = {"store": type(store).__name__, "operation": native.__name__, **told}
            return MemoryCall(verb=verb, arguments=arguments)

        return build


def _enter_memory(adapter: str, build: Callable[[], MemoryCall | None], key: Any) -> Entry | None:
    if key is not None and key in memory_stack.get():
        return None
    return enter(adapter, build, lease=True)


@contextlib.contextmanager
def _in_memory(key: Any) -> Generator[None, None, None]:
    with assigned(memory_stack, (*memory_stack.get(), key)):
        yield
