"""The kernel's answers in litellm's types, made where litellm makes its own mock answers: all above that is native."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator
from contextvars import ContextVar
from importlib import import_module
from typing import TYPE_CHECKING, Any

from aios_kernel import wire

if TYPE_CHECKING:
    from aios_adapters.litellm._request import Request
    from aios_kernel.abi import Delta, Reply
    from aios_kernel.gate import Grant

__all__ = ["Served", "mock_completion", "mock_embedding", "placeholder", "provider_config", "serving"]

Function = Callable[..., Any]
_USAGE = {"stream_options": {"include_usage": True}}  # litellm itself leaves out what was not asked for


class Served:
    """One answer of the kernel on its way into litellm. Empty until the kernel was asked."""

    def __init__(self, request: Request) -> None:
        self.request = request
        self.ready = False
        self._reply: Reply | None = None
        self._first: Delta | None = None
        self._rest: Any = None
        self._grant: Any = None

    def ask(self, grant: Grant) -> None:
        """Wait for the reply, or for a stream's first piece, so that a failure is raised by the call."""
        self.request.check()
        if self.request.stream:
            self._grant = grant.keep()
            self._rest = self._grant.deltas()
            self._first = next(self._rest, None)
        else:
            self._reply = grant.reply()
        self.ready = True

    async def aask(self, grant: Grant) -> None:
        """Wait in the caller's event loop."""
        self.request.check()
        if self.request.stream:
            self._grant = grant.keep()
            self._rest = self._grant.adeltas()
            self._first = await anext(self._rest, None)
        else:
            self._reply = await grant.areply()
        self.ready = True

    def repeat(self, grant: Grant) -> None:
        """Stand for a stream whose pieces a journal has: litellm is to make it, and it holds none of its own."""
        self._grant, self._rest = grant, iter(())
        self.ready = True

    def completion(self, model: str, logging: Any, *, asynchronous: bool) -> Any:
        """A ModelResponse, or a stream of litellm's own over the kernel's pieces."""
        self.ready = False  # what a callback asks on its own is another call
        types: Any = import_module("litellm.types.utils")
        call = self.request.call
        if self._reply is not None:
            return types.ModelResponse(**wire.answer_body("/chat/completions", call, self._reply, {}))
        chunks = self._achunks() if asynchronous else self._chunks()
        wrapper: Any = import_module("litellm.litellm_core_utils.streaming_handler").CustomStreamWrapper
        return wrapper(completion_stream=chunks, model=model, custom_llm_provider="openai", logging_obj=logging)

    def embedding(self) -> Any:
        """An EmbeddingResponse."""
        self.ready = False
        types: Any = import_module("litellm.types.utils")
        body = wire.answer_body("/embeddings", self.request.call, self._reply, {})  # pyright: ignore[reportArgumentType]
        return types.EmbeddingResponse(**{**body, "usage": types.Usage(**body["usage"])})

    def _chunks(self) -> Iterator[Any]:
        make, writer = import_module("litellm.types.utils").ModelResponseStream, self._writer
        try:
            yield from (make(**chunk) for chunk in writer.begin())
            delta = self._first
            while delta is not None:
                yield from (make(**chunk) for chunk in writer.feed(delta))
                delta = next(self._rest, None)
            yield from (make(**chunk) for chunk in writer.end())
        finally:
            self._grant.release()

    async def _achunks(self) -> AsyncIterator[Any]:
        make, writer = import_module("litellm.types.utils").ModelResponseStream, self._writer
        try:
            for chunk in writer.begin():
                yield make(**chunk)
            delta = self._first
            while delta is not None:
                for chunk in writer.feed(delta):
                    yield make(**chunk)
                delta = await anext(self._rest, None)
            for chunk in writer.end():
                yield make(**chunk)
        finally:
            self._grant.release()

    @property
    def _writer(self) -> wire.Events:
        return wire.EVENTS["/chat/completions"](self.request.call, _USAGE)


#: What makes litellm ask for a mock answer. Responses have none that streams: they go over litellm's bridge to chats.
_PLACEHOLDERS: dict[str, dict[str, Any]] = {"embedding": {"mock_response": [0.0]}, "responses": {}}


def placeholder(kind: str) -> dict[str, Any]:
    """The argument that makes a function of litellm ask for a mock answer."""
    return _PLACEHOLDERS.get(kind, {"mock_response": "served"})


#: The answer that the call of this context is to be given.
serving: ContextVar[Served | None] = ContextVar("aios_litellm_serving", default=None)


def _ready() -> Served | None:
    served = serving.get()
    return served if served is not None and served.ready else None


def mock_completion(native: Function) -> Function:
    """Wrap what makes mock answers to chats."""

    def mock_completion(*args: Any, **kwargs: Any) -> Any:
        served = _ready()
        if served is None:
            return native(*args, **kwargs)
        model = args[0] if args else kwargs.get("model")
        asynchronous = kwargs.get("acompletion") is True
        return served.completion(str(model), kwargs.get("logging"), asynchronous=asynchronous)

    return mock_completion


def mock_embedding(native: Function) -> Function:
    """Wrap what makes mock embeddings."""

    def mock_embedding(*args: Any, **kwargs: Any) -> Any:
        served = _ready()
        return native(*args, **kwargs) if served is None else served.embedding()

    return mock_embedding


def provider_config(native: Function) -> Function:
    """Wrap the look-up of a provider's Responses API: a served call takes litellm's own bridge to chats."""

    def get_provider_responses_api_config(*args: Any, **kwargs: Any) -> Any:
        return native(*args, **kwargs) if _ready() is None else None

    return get_provider_responses_api_config
