"""One request of the SDK answered without the network: its native Response, made by the SDK itself."""

from __future__ import annotations

import copy
import functools
import json
import sys
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from types import ModuleType
from typing import TYPE_CHECKING, Any

from aios_adapters.openai import _build, _chat, _responses_out
from aios_kernel.abi import Delta, LLMCall, Reply
from aios_kernel.errors import AccessDenied, ContextTooLong, DeadlineExceeded, KernelClosed, QueueFull, SyscallError

if TYPE_CHECKING:
    from aios_kernel.gate import Grant

__all__ = ["Exchange"]

_BODIES: dict[str, Callable[[LLMCall, Reply, Mapping[str, Any]], dict[str, Any]]] = {
    "/chat/completions": _chat.chat_body,
    "/completions": _chat.completion_body,
    "/responses": _responses_out.response_body,
    "/embeddings": _chat.embedding_body,
}
_EVENTS: dict[str, Any] = {
    "/chat/completions": _chat.ChatChunks,
    "/completions": _chat.CompletionChunks,
    "/responses": _responses_out.ResponseEvents,
}
#: What a refusal of the kernel is over HTTP: status, type and code of the error object.
_STATUSES: tuple[tuple[type[SyscallError], int, str, str], ...] = (
    (AccessDenied, 403, "permission_error", "access_denied"),
    (QueueFull, 429, "requests", "queue_full"),
    (ContextTooLong, 400, "invalid_request_error", "context_length_exceeded"),
    (SyscallError, 500, "server_error", "kernel_error"),
)


class Exchange:
    """A request on its way through the gate, and the answers to it that need no network.

    The SDK's own object is never changed: `request` works on a copy of the options, as the SDK itself does.
    """

    def __init__(self, client: Any, cast_to: Any, options: Any, kwargs: Mapping[str, Any]) -> None:
        self.client, self.path = client, str(options.url)
        self.stream = bool(kwargs.get("stream"))
        self._cast_to, self._options, self._stream_cls = cast_to, options, kwargs.get("stream_cls")
        self._call = LLMCall()
        self._body: Mapping[str, Any] = {}

    def build(self) -> LLMCall | None:
        """Translate the request; None when it is none of ours."""
        body = _build.payload(self._options)
        if body is None:
            return None
        self._body = body
        self._call = _build.build_call(self.path, body, str(self.client.base_url).rstrip("/"), stream=self.stream)
        return self._call

    # Served answers

    def check(self) -> None:
        """Refuse what no core of the kernel can do, as a server would."""
        name = _build.unsupported(self.path, self._body)
        if name is not None:
            message = f"Unsupported parameter: {name!r} is not supported by the kernel's cores."
            raise self._status_error(400, message, "invalid_request_error", "unsupported_parameter", name)

    def whole(self, reply: Reply, grant: Grant) -> Any:
        """The SDK's own result for a reply; an awaitable of it for an asynchronous client."""
        content = json.dumps(_BODIES[self.path](self._call, reply, self._body)).encode()
        return self._process(self._response(200, grant, content=content))

    def streamed(self, first: Delta | None, rest: Iterator[Delta], grant: Grant) -> Any:
        """The SDK's own stream over the deltas."""
        library = _library(self._request)
        return self._process(self._event_response(_served(library)(self._encode(first, rest), grant), grant))

    def astreamed(self, first: Delta | None, rest: AsyncIterator[Delta], grant: Grant) -> Any:
        """An awaitable of the SDK's own stream over the deltas."""
        library = _library(self._request)
        return self._process(self._event_response(_aserved(library)(self._aencode(first, rest), grant), grant))

    def _encode(self, first: Delta | None, rest: Iterator[Delta]) -> Iterator[bytes]:
        writer = _EVENTS[self.path](self._call, self._body)
        try:
            yield self._lines(writer.begin())
            if first is not None:
                yield self._lines(writer.feed(first))
            for delta in rest:
                yield self._lines(writer.feed(delta))
            yield self._lines(writer.end()) + self._done
        except SyscallError as error:
            yield self._failure(error)

    async def _aencode(self, first: Delta | None, rest: AsyncIterator[Delta]) -> AsyncIterator[bytes]:
        writer = _EVENTS[self.path](self._call, self._body)
        try:
            yield self._lines(writer.begin())
            if first is not None:
                yield self._lines(writer.feed(first))
            async for delta in rest:
                yield self._lines(writer.feed(delta))
            yield self._lines(writer.end()) + self._done
        except SyscallError as error:
            yield self._failure(error)

    def _lines(self, events: Iterator[dict[str, Any]]) -> bytes:
        named = self.path == "/responses"
        return b"".join(
            (f"event: {event['type']}\n" if named else "").encode() + b"data: " + json.dumps(event).encode() + b"\n\n"
            for event in events
        )

    @property
    def _done(self) -> bytes:
        return b"" if self.path == "/responses" else b"data: [DONE]\n\n"

    def _failure(self, error: SyscallError) -> bytes:
        """An error after the stream has begun, in the form in which servers send it."""
        _, kind, code = _status_of(error)
        return b"data: " + json.dumps({"error": _error_body(str(error), kind, code)}).encode() + b"\n\n"

    # Refusals

    def refused(self, error: SyscallError) -> BaseException:
        """What a user of the SDK expects where the kernel refuses a call."""
        openai: Any = sys.modules["openai"]
        if isinstance(error, DeadlineExceeded):
            return openai.APITimeoutError(request=self._request)
        if isinstance(error, KernelClosed):
            return openai.APIConnectionError(message=str(error), request=self._request)
        status, kind, code = _status_of(error)
        return self._status_error(status, str(error), kind, code)

    def _status_error(
        self, status: int, message: str, kind: str, code: str, parameter: str | None = None
    ) -> BaseException:
        content = json.dumps({"error": _error_body(message, kind, code, parameter)}).encode()
        response = self._response(status, None, content=content)
        return self.client._make_status_error_from_response(response)

    # The SDK's own steps

    @functools.cached_property
    def _final(self) -> tuple[Any, Any]:
        """The type to make and the options to make it with: what `with_raw_response` asks for is resolved here."""
        options = copy.copy(self._options)
        return self.client._maybe_override_cast_to(self._cast_to, options), options

    @functools.cached_property
    def _request(self) -> Any:
        return self.client._build_request(self._final[1])

    def _response(self, status: int, grant: Grant | None, **content: Any) -> Any:
        headers = {"content-type": "application/json", "x-request-id": f"aios-{grant.sid if grant else 0}"}
        return _library(self._request).Response(status, headers=headers, request=self._request, **content)

    def _event_response(self, stream: Any, grant: Grant) -> Any:
        headers = {"content-type": "text/event-stream; charset=utf-8", "x-request-id": f"aios-{grant.sid}"}
        return _library(self._request).Response(200, headers=headers, request=self._request, stream=stream)

    def _process(self, response: Any) -> Any:
        cast_to, options = self._final
        return self.client._process_response(
            cast_to=cast_to,
            options=options,
            response=response,
            stream=self.stream,
            stream_cls=self._stream_cls,
            retries_taken=0,
        )


def _error_body(message: str, kind: str, code: str, parameter: str | None = None) -> dict[str, Any]:
    return {"message": message, "type": kind, "param": parameter, "code": code}


def _status_of(error: SyscallError) -> tuple[int, str, str]:
    return next((status, kind, code) for cls, status, kind, code in _STATUSES if isinstance(error, cls))


def _library(value: Any) -> ModuleType:
    """The HTTP library that an object belongs to: httpx for the SDK's 1.x and 2.x, httpx2 for 3.x."""
    return sys.modules[type(value).__module__.partition(".")[0]]


@functools.cache
def _served(library: ModuleType) -> type[Any]:
    base: Any = library.SyncByteStream

    class ServedStream(base):
        """The bytes of a served stream, made as they are read."""

        def __init__(self, chunks: Iterator[bytes], grant: Grant) -> None:
            self._chunks, self._grant = chunks, grant

        def __iter__(self) -> Iterator[bytes]:
            return self._chunks

        def close(self) -> None:
            self._grant.release()

    return ServedStream


@functools.cache
def _aserved(library: ModuleType) -> type[Any]:
    base: Any = library.AsyncByteStream

    class ServedStream(base):
        """The bytes of a served stream, made as they are read."""

        def __init__(self, chunks: AsyncIterator[bytes], grant: Grant) -> None:
            self._chunks, self._grant = chunks, grant

        def __aiter__(self) -> AsyncIterator[bytes]:
            return self._chunks

        async def aclose(self) -> None:
            self._grant.release()

    return ServedStream
