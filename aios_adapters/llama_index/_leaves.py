"""The leaf methods of models, in four shapes: whole or streamed, sync or async; an Exchange translates each call."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Callable, Generator, Iterator, Mapping
from importlib import import_module
from typing import TYPE_CHECKING, Any

from aios_adapters._carried import Claim, assigned, claimed, kept_grants
from aios_adapters.calls import (
    arecord,
    astepped,
    claiming,
    closing,
    enter_llm,
    given_back,
    record,
    recorded,
    recording,
    report,
    stepped,
)
from aios_adapters.calls._steps import left_early

if TYPE_CHECKING:
    from aios_adapters.calls._entry import Entry
    from aios_kernel.abi import Delta, LLMCall, Reply, Usage
    from aios_kernel.gate import Grant

__all__ = ["NAME", "Exchange", "astreamed", "awhole", "backed_by", "streamed", "whole"]

NAME = "llama_index"
Function = Callable[..., Any]
Wrap = Callable[[Function], Function]


def backed_by(thing: Any, package: str) -> bool:
    """Whether a class of the integration `package`, or one below it, made this model."""
    return any(f"{cls.__module__}.".startswith(f"{package}.") for cls in type(thing).__mro__)


class Exchange:
    """One call of a leaf method: its request as a Call, and the kernel's answer as LlamaIndex's type."""

    #: The decorator that tells LlamaIndex's callbacks and events of such a call.
    callback = ""

    def __init__(self, model: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any], *, stream: bool = False) -> None:
        self.model, self.args, self.kwargs, self.stream = model, args, kwargs, stream

    @property
    def elsewhere(self) -> bool:
        """Whether another gate sees this call: that of the openai SDK, or of the model that this one asks."""
        raise NotImplementedError

    def build(self) -> LLMCall | None:
        """Translate the request; None where another gate sees it."""
        raise NotImplementedError

    def served(self, reply: Reply) -> Any:
        """Return what the method returns."""
        raise NotImplementedError

    def piece(self, delta: Delta) -> Any:
        """Return what the method yields for a piece."""
        raise NotImplementedError

    def used(self, item: Any) -> Usage | None:
        """Count the tokens of a native result, or of a native stream up to this item."""
        del item

    def told(self, answer: Function) -> Any:
        """Call `answer` as the model's own method, with the events, callbacks and spans that LlamaIndex puts around it."""
        if not self.callback:
            return answer(self.model, *self.args, **self.kwargs)
        decorate = getattr(import_module("llama_index.core.llms.callbacks"), self.callback)()
        kind: Any = self.model.__class__
        span = import_module("llama_index.core.instrumentation").get_dispatcher(kind.__module__).span
        return span(decorate(answer)).__get__(self.model, kind)(*self.args, **self.kwargs)


def whole(make: Callable[..., Exchange]) -> Wrap:
    """Gate a method that returns its result."""

    def wrap(native: Function) -> Function:
        def call(self: Any, *args: Any, **kwargs: Any) -> Any:
            one = make(self, args, kwargs)
            syscall = enter_llm(NAME, one.build)
            if syscall is None:
                return native(self, *args, **kwargs)
            with syscall as grant:
                if not grant.lease:
                    kept = recorded(grant)
                    return one.told(lambda *_, **__: one.served(grant.reply()) if kept is None else given_back(kept))
                with claiming(grant):
                    result = native(self, *args, **kwargs)
                report(grant, one.used, result)
                record(grant, result, NAME)
                return result

        return call

    return wrap


def awhole(make: Callable[..., Exchange]) -> Wrap:
    """Gate a coroutine method that returns its result."""

    def wrap(native: Function) -> Function:
        async def call(self: Any, *args: Any, **kwargs: Any) -> Any:
            one = make(self, args, kwargs)
            syscall = enter_llm(NAME, one.build)
            if syscall is None:
                return await native(self, *args, **kwargs)
            async with syscall as grant:
                if not grant.lease:

                    async def answer(*_: Any, **__: Any) -> Any:
                        kept = recorded(grant)
                        return one.served(await grant.areply()) if kept is None else given_back(kept)

                    return await one.told(answer)
                with claiming(grant):
                    result = await native(self, *args, **kwargs)
                report(grant, one.used, result)
                await arecord(grant, result, NAME)
                return result

        return call

    return wrap


# The streaming methods start the call when they are called, not when the first item is asked for, and tell the callbacks so.
# The generators below therefore run up to their first `yield` at once; from there on they give back their grant however
# they end, read or not.


def streamed(make: Callable[..., Exchange]) -> Wrap:
    """Gate a method that returns a generator."""

    def wrap(native: Function) -> Function:
        def call(self: Any, *args: Any, **kwargs: Any) -> Any:
            one = make(self, args, kwargs, stream=True)
            syscall = enter_llm(NAME, one.build)
            if syscall is None:
                made = native(self, *args, **kwargs)
                return _let_go(made) if one.elsewhere and isinstance(made, Generator) else made
            items = _items(syscall, one, lambda: native(self, *args, **kwargs))
            next(items)
            return items

        return call

    return wrap


def astreamed(make: Callable[..., Exchange]) -> Wrap:
    """Gate a coroutine method that returns an asynchronous generator."""

    def wrap(native: Function) -> Function:
        async def call(self: Any, *args: Any, **kwargs: Any) -> Any:
            one = make(self, args, kwargs, stream=True)
            syscall = enter_llm(NAME, one.build)
            if syscall is None:
                made = await native(self, *args, **kwargs)
                return _alet_go(made) if one.elsewhere and isinstance(made, AsyncGenerator) else made
            items = _aitems(syscall, one, lambda: native(self, *args, **kwargs))
            await anext(items)
            return items

        return call

    return wrap


def _items(syscall: Entry, one: Exchange, native: Callable[[], Any]) -> Generator[Any, None, None]:
    with syscall as grant, left_early(grant):
        if not grant.lease:
            kept = recorded(grant)
            made = one.told(lambda *_, **__: _pieces(grant, one) if kept is None else iter(given_back(kept)))
            yield None
            yield from made
            return
        claim = Claim(grant)
        try:
            with assigned(claimed, claim):
                made = native()
            yield None
            seen: list[Any] | None = [] if recording(grant) else None
            for index, item in enumerate(stepped(lambda: made, lambda: assigned(claimed, claim))):
                _seen(grant, one, index, item)
                if seen is not None:
                    seen.append(item)
                yield item
            if seen is not None:
                record(grant, seen, NAME)
        finally:
            claim.open = False


async def _aitems(syscall: Entry, one: Exchange, native: Callable[[], Any]) -> AsyncGenerator[Any, None]:
    async with syscall as grant:
        with left_early(grant):
            claim = Claim(grant)
            if grant.lease:
                with assigned(claimed, claim):
                    made = await native()
                steps = astepped(lambda: made, lambda: assigned(claimed, claim))
            else:

                async def answer(*_: Any, **__: Any) -> Any:
                    kept = recorded(grant)
                    return _apieces(grant, one) if kept is None else _aiter(given_back(kept))

                steps = await one.told(answer)
            try:
                yield None
                index = 0
                seen: list[Any] | None = [] if grant.lease and recording(grant) else None
                async with closing(steps) as items:
                    async for item in items:
                        if grant.lease:
                            _seen(grant, one, index, item)
                        index += 1
                        if seen is not None:
                            seen.append(item)
                        yield item
                if seen is not None:
                    await arecord(grant, seen, NAME)
            finally:
                claim.open = False


async def _aiter(items: list[Any]) -> AsyncGenerator[Any, None]:
    for item in items:
        yield item


# LlamaIndex does not close the SDK's stream when its own is closed. What waits for that stream's turn must not wait for the
# garbage collector to come by.


def _let_go(made: Any) -> Generator[Any, None, None]:
    kept: list[Grant] = []
    try:
        yield from stepped(lambda: made, lambda: assigned(kept_grants, kept))
    except GeneratorExit:
        _give_back(kept)
        raise


async def _alet_go(made: Any) -> AsyncGenerator[Any, None]:
    kept: list[Grant] = []
    try:
        async with closing(astepped(lambda: made, lambda: assigned(kept_grants, kept))) as items:
            async for item in items:
                yield item
    except GeneratorExit:
        _give_back(kept)
        raise


def _give_back(kept: list[Grant]) -> None:
    for grant in kept:
        grant.release()


def _seen(grant: Grant, one: Exchange, index: int, item: Any) -> None:
    if index == 0:
        grant.first_token()
    report(grant, one.used, item)


def _pieces(grant: Grant, one: Exchange) -> Iterator[Any]:
    for delta in grant.deltas():
        yield one.piece(delta)


async def _apieces(grant: Grant, one: Exchange) -> AsyncIterator[Any]:
    async with closing(grant.adeltas()) as deltas:
        async for delta in deltas:
            yield one.piece(delta)
