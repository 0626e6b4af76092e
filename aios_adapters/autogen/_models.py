"""Model clients that are not backed by the openai SDK: `create` and `create_stream` of every ChatCompletionClient."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from aios_adapters._assembled import Assembled
from aios_adapters.autogen import _messages
from aios_adapters.autogen._cancel import cancellable
from aios_adapters.autogen._identity import FRAMEWORK
from aios_adapters.calls import allm_call, allm_stream, closing
from aios_kernel.abi import Usage

if TYPE_CHECKING:
    from aios_kernel.abi import ChatCall, Delta, Reply

__all__ = ["create", "create_stream"]

Function = Callable[..., Any]
#: Clients that end in the openai SDK, whose own adapter makes the syscall, and the cache around another client.
_PASSED = ("autogen_ext.models.openai", "autogen_ext.models.cache")
_END: Any = object()


def create(native: Function) -> Function:
    """Gate `create`."""

    async def create(self: Any, *args: Any, **kwargs: Any) -> Any:
        one = _Exchange(self, args, kwargs, stream=False)
        call = allm_call(FRAMEWORK, one.build, lambda: native(self, *args, **kwargs), one.served, usage=_used)
        return await cancellable(call, one.token)

    return create


def create_stream(native: Function) -> Function:
    """Gate `create_stream`."""

    async def create_stream(self: Any, *args: Any, **kwargs: Any) -> AsyncIterator[Any]:
        one = _Exchange(self, args, kwargs, stream=True)
        made = allm_stream(FRAMEWORK, one.build, lambda: native(self, *args, **kwargs), one.pieces, usage=_used)
        async with closing(made):
            while (item := await cancellable(anext(made, _END), one.token)) is not _END:
                yield item

    return create_stream


class _Exchange:
    """One call of a client: its request as a ChatCall, and the kernel's answer as text and CreateResult."""

    def __init__(self, client: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any], *, stream: bool) -> None:
        self._client, self._args, self._kwargs, self._stream = client, args, kwargs, stream
        self._so_far = Assembled()
        self._passed = any(cls.__module__.startswith(_PASSED) for cls in type(client).__mro__)
        #: What cancels the wait for the grant and for a served reply, as it cancels the client's own wait.
        self.token = None if self._passed else kwargs.get("cancellation_token")

    def build(self) -> ChatCall | None:
        """Translate the request; None where another call is the syscall."""
        if self._passed:
            return None
        messages = self._args[0] if self._args else self._kwargs["messages"]
        return _messages.chat_call(self._client, messages, self._kwargs, stream=self._stream)

    def served(self, reply: Reply) -> Any:
        """Return a CreateResult."""
        return _messages.create_result(reply)

    def pieces(self, delta: Delta) -> Iterator[Any]:
        """Yield the text, and the CreateResult at the end."""
        self._so_far.add(delta)
        if delta.text:
            yield delta.text
        if delta.finish_reason is not None:
            yield self.served(self._so_far.reply)


def _used(item: Any) -> Usage | None:
    usage = getattr(item, "usage", None)
    if usage is None:
        return None
    return Usage(input_tokens=usage.prompt_tokens, output_tokens=usage.completion_tokens)
