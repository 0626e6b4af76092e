"""The leaf methods of models, in four shapes: whole or streamed, sync or async; an Exchange translates each call."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from aios_adapters.calls import allm_call, allm_stream, closing, llm_call, llm_stream
from aios_kernel.abi import Sampling, Usage

if TYPE_CHECKING:
    from aios_kernel.abi import Delta, LLMCall, Reply

__all__ = ["Exchange", "astreamed", "awhole", "common", "streamed", "whole"]

NAME = "langchain"
Function = Callable[..., Any]
Wrap = Callable[[Function], Function]
_SDK = "langchain_openai"  # models of this package end in the openai SDK, whose own adapter makes the syscall
_URLS = ("base_url", "api_base", "endpoint_url", "inference_server_url")


class Exchange:
    """One call of a leaf method: its request as a Call, and the kernel's answer as LangChain's type."""

    def __init__(self, model: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any], *, stream: bool = False) -> None:
        self.model, self.args, self.kwargs, self.stream = model, args, kwargs, stream
        self.model_name = ""
        self.manager: Any = None
        self.serving = False
        self.total = Usage()

    def build(self) -> LLMCall | None:
        """Translate the request; None for a model whose call the openai adapter sees."""
        if any(cls.__module__.partition(".")[0] == _SDK for cls in type(self.model).__mro__):
            return None
        call = self.request(self.model, *self._taken())
        self.model_name = "" if call is None else call.model
        return call

    def request(self, model: Any, given: Any, stop: Any, options: dict[str, Any]) -> LLMCall | None:
        """Make the Call of what a leaf method was given."""
        raise NotImplementedError

    def served(self, reply: Reply) -> Any:
        """Return what the method returns."""
        raise NotImplementedError

    def pieces(self, delta: Delta) -> Iterable[Any]:
        """Return what the method yields."""
        raise NotImplementedError

    def used(self, item: Any) -> Usage | None:
        """Count the tokens of a native result, or of a native stream up to this item."""
        del item

    def named(self, reply: Reply) -> str:
        """The model that answered."""
        return reply.model or self.model_name

    def feed(self, delta: Delta) -> Iterable[Any]:
        """Take a piece of a served stream."""
        self.serving = True
        return self.pieces(delta)

    def _taken(self) -> tuple[Any, Any, dict[str, Any]]:
        """The input, the stop texts and the options, wherever in the arguments they are."""
        places, options = list(self.args), dict(self.kwargs)
        names = ("messages", "prompts", "prompt", "texts", "text")
        given = places.pop(0) if places else options.pop(next(name for name in names if name in options))
        stop = places.pop(0) if places else options.pop("stop", None)
        self.manager = places.pop(0) if places else options.pop("run_manager", None)
        return given, stop, options


def common(model: Any, stop: Any, options: Mapping[str, Any], *, stream: bool) -> dict[str, Any]:
    """What every call to a model has: its name, its address, how it samples."""
    known: Mapping[str, Any] = model._get_ls_params(stop=stop, **options)
    name = known.get("ls_model_name")
    urls = (getattr(model, attribute, None) for attribute in _URLS)
    sampling = Sampling(
        temperature=_number(known.get("ls_temperature")),
        max_tokens=_number(known.get("ls_max_tokens")),
        stop=(stop,) if isinstance(stop, str) else tuple(stop or ()),
        **{key: _number(options.get(key, getattr(model, key, None))) for key in ("top_p", "top_k", "seed")},
    )
    return {
        "model": str(name or type(model).__name__),
        "endpoint": next((url for url in urls if isinstance(url, str)), ""),
        "stream": stream,
        "sampling": sampling,
    }


def _number(value: Any) -> Any:
    return value if isinstance(value, (int, float)) else None


def whole(make: Callable[..., Exchange]) -> Wrap:
    """Gate a method that returns its result."""

    def wrap(native: Function) -> Function:
        def call(self: Any, *args: Any, **kwargs: Any) -> Any:
            one = make(self, args, kwargs)
            return llm_call(NAME, one.build, lambda: native(self, *args, **kwargs), one.served, usage=one.used)

        return call

    return wrap


def awhole(make: Callable[..., Exchange]) -> Wrap:
    """Gate a coroutine method that returns its result."""

    def wrap(native: Function) -> Function:
        async def call(self: Any, *args: Any, **kwargs: Any) -> Any:
            one = make(self, args, kwargs)
            return await allm_call(NAME, one.build, lambda: native(self, *args, **kwargs), one.served, usage=one.used)

        return call

    return wrap


def streamed(make: Callable[..., Exchange]) -> Wrap:
    """Gate a generator method. A served piece is told to the callbacks, as the models themselves do."""

    def wrap(native: Function) -> Function:
        def call(self: Any, *args: Any, **kwargs: Any) -> Iterator[Any]:
            one = make(self, args, kwargs, stream=True)
            items = llm_stream(NAME, one.build, lambda: native(self, *args, **kwargs), one.feed, usage=one.used)
            with contextlib.closing(items):
                for item in items:
                    if one.serving and one.manager is not None:
                        one.manager.on_llm_new_token(item.text, chunk=item)
                    yield item

        return call

    return wrap


def astreamed(make: Callable[..., Exchange]) -> Wrap:
    """Gate an asynchronous generator method."""

    def wrap(native: Function) -> Function:
        async def call(self: Any, *args: Any, **kwargs: Any) -> AsyncIterator[Any]:
            one = make(self, args, kwargs, stream=True)
            made = allm_stream(NAME, one.build, lambda: native(self, *args, **kwargs), one.feed, usage=one.used)
            async with closing(made) as items:
                async for item in items:
                    if one.serving and one.manager is not None:
                        await one.manager.on_llm_new_token(item.text, chunk=item)
                    yield item

        return call

    return wrap
