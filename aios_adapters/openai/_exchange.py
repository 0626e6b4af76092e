"""One request of the SDK answered without the network: its native Response, made by the SDK itself."""

from __future__ import annotations

import copy
import functools
import json
import sys
from collections.abc import AsyncIterator, Iterator, Mapping
from types import ModuleType
from typing import TYPE_CHECKING, Any, cast

from aios_kernel import wire
from aios_kernel.abi import Delta, LLMCall, Reply
from aios_kernel.errors import DeadlineExceeded, KernelClosed, SyscallError

if TYPE_CHECKING:
    from aios_kernel.gate import Grant

__all__ = ["Exchange"]


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
        body = _payload(self._options)
        if body is None:
            return None
        self._body = body
        self._call = wire.build_call(self.path, body, str(self.client.base_url).rstrip("/"), stream=self.stream)
        return self._call

    # Served answers

    def check(self) -> None:
        """Refuse what no core of the kernel can do, as a server would."""
        name = wire.unsupported(self.path, self._body)
        if name is not None:
            message = f"Unsupported parameter: {name!r} is not supported by the kernel's cores."
            problem = wire.Problem(400, message, "invalid_request_error", "unsupported_parameter", name)
            raise self._status_error(problem)

    def whole(self, reply: Reply, grant: Grant) -> Any:
        """The SDK's own result for a reply; an awaitable of it for an asynchronous client."""
        content = json.dumps(wire.answer_body(self.path, self._call, reply, self._body)).encode()
        return self._process(self._response(200, grant, content=content))

    def streamed(self, first: Delta | None, rest: Iterator[Delta], grant: Grant) -> Any:
        """The SDK's own stream over the deltas."""
        library = _library(self._request)
        return self._process(self._event_response(_served(library)(self._encode(first, rest), grant), grant))

    def astreamed(self, first: Delta | None, rest: AsyncIterator[Delta], grant: Grant) -> Any:
        """An awaitable of the SDK's own stream over the deltas."""
        library = _library(self._request)
        return self._process(self._event_response(_aserved(library)(self._aencode(first, rest), grant), grant))

    def replayed(self, body: Mapping[str, str]) -> Any:
        """The SDK's own result for a body that was recorded; an awaitable of it for an asynchronous client."""
        headers = {"content-type": body["type"], **({"x-request-id": body["id"]} if body["id"] else {})}
        library = _library(self._request)
        return self._process(
            library.Response(200, headers=headers, request=self._request, content=body["text"].encode())
        )

    def _encode(self, first: Delta | None, rest: Iterator[Delta]) -> Iterator[bytes]:
        writer = wire.EVENTS[self.path](self._call, self._body)
        try:
            yield wire.encode(self.path, writer.begin())
            if first is not None:
                yield wire.encode(self.path, writer.feed(first))
            for delta in rest:
                yield wire.encode(self.path, writer.feed(delta))
            yield wire.encode(self.path, writer.end()) + wire.done(self.path)
        except SyscallError as error:
            yield self._failure(error)

    async def _aencode(self, first: Delta | None, rest: AsyncIterator[Delta]) -> AsyncIterator[bytes]:
        writer = wire.EVENTS[self.path](self._call, self._body)
        try:
            yield wire.encode(self.path, writer.begin())
            if first is not None:
                yield wire.encode(self.path, writer.feed(first))
            async for delta in rest:
                yield wire.encode(self.path, writer.feed(delta))
            yield wire.encode(self.path, writer.end()) + wire.done(self.path)
        except SyscallError as error:
            yield self._failure(error)

    def _failure(self, error: SyscallError) -> bytes:
        """An error after the stream has begun, in the form in which servers send it."""
        return wire.failure(wire.problem_of(error))

    # Refusals

    def refused(self, error: SyscallError) -> BaseException:
        """What a user of the SDK expects where the kernel refuses a call."""
        openai: Any = sys.modules["openai"]
        if isinstance(error, DeadlineExceeded):
            return openai.APITimeoutError(request=self._request)
        if isinstance(error, KernelClosed):
            return openai.APIConnectionError(message=str(error), request=self._request)
        return self._status_error(wire.problem_of(error))

    def _status_error(self, problem: wire.Problem) -> BaseException:
        response = self._response(problem.status, None, content=json.dumps(problem.body()).encode())
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


def _payload(options: Any) -> Mapping[str, Any] | None:
    """The body that will be sent, with what `extra_body` adds; None when the request is none of ours."""
    if options.url not in wire.PATHS or options.method.lower() != "post":
        return None
    body = options.json_data
    if not isinstance(body, Mapping):
        return None
    extra = getattr(options, "extra_json", None)
    return {**body, **extra} if isinstance(extra, Mapping) else cast("Mapping[str, Any]", body)


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
