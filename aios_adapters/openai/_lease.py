"""A leased request: the SDK's own call, retried when the endpoint pushes back, its grant kept for as long as it streams."""

from __future__ import annotations

import functools
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from types import ModuleType
from typing import TYPE_CHECKING, Any

from aios_adapters import calls
from aios_adapters.openai._journal import Body, akeep, keep
from aios_adapters.openai._usage import UsageWatch, usage_in, usage_of

if TYPE_CHECKING:
    from aios_kernel.gate import Grant

__all__ = ["alease", "lease", "pushed_back"]

PUSHED_BACK = frozenset({429, 503})


def lease(grant: Grant, client: Any, options: Any, native: Callable[[], Any]) -> Any:
    """Make the call; where the SDK gives up on an endpoint that still serves others, wait for a turn and go on."""
    while True:
        try:
            with calls.claiming(grant):
                result = native()
            break
        except Exception as error:
            refusal = _given_up(client, options, error)
            if refusal is None or not grant.push_back(*refusal):
                raise
    response = _handed_over(grant, result, _tap)
    if response is None or response.is_closed:
        keep(grant, response, result)
    return result


async def alease(grant: Grant, client: Any, options: Any, native: Callable[[], Awaitable[Any]]) -> Any:
    """Make the call in the caller's event loop."""
    while True:
        try:
            with calls.claiming(grant):
                result = await native()
            break
        except Exception as error:
            refusal = _given_up(client, options, error)
            if refusal is None or not await grant.apush_back(*refusal):
                raise
    response = _handed_over(grant, result, _atap)
    if response is None or response.is_closed:
        await akeep(grant, response, result)
    return result


# Refused for load --------------------------------------------------------------------------------------------------


def pushed_back(client: Any, response: Any) -> tuple[int, float | None] | None:
    """Status and Retry-After of a response that refuses for load; None for any other."""
    if response is None or response.status_code not in PUSHED_BACK:
        return None
    wait = client._parse_retry_after_header(response.headers)
    # The SDK does not follow a longer wait either.
    longest = getattr(sys.modules["openai._base_client"], "MAX_RETRY_AFTER_DELAY", 60.0)
    return response.status_code, wait if wait is not None and 0 < wait <= longest else None


def _given_up(client: Any, options: Any, error: Exception) -> tuple[int, float | None] | None:
    """How the endpoint pushed back, if the SDK has used up its retries; a program that forbids retries sees the error."""
    response = getattr(error, "response", None)
    if getattr(error, "status_code", None) not in PUSHED_BACK or response is None:
        return None
    if options.get_max_retries(client.max_retries) <= 0 or not client._should_retry(response):
        return None
    return pushed_back(client, response)


# Results -----------------------------------------------------------------------------------------------------------


def _handed_over(grant: Grant, result: Any, tap: Callable[[ModuleType], Callable[..., Any]]) -> Any:
    """Account for a finished call, or leave the grant with the body that is still to be read; return the response."""
    response = _response_of(result)
    if response is None:
        calls.report(grant, lambda parsed: usage_of(getattr(parsed, "usage", None)), result)
    elif response.is_closed:
        calls.report(grant, lambda closed: usage_in(closed.content), response)
    else:
        library = sys.modules[type(response).__module__.partition(".")[0]]
        response.stream = tap(library)(response.stream, calls.keep(grant), response.headers)
    return response


def _response_of(result: Any) -> Any:
    """The HTTP response behind what the SDK returned; None when that is the parsed body."""
    openai: Any = sys.modules["openai"]
    if isinstance(result, openai.BaseModel):
        return None
    for candidate in (getattr(result, "http_response", None), getattr(result, "response", None), result):
        if hasattr(candidate, "is_closed") and hasattr(candidate, "stream"):
            return candidate
    return None


class _Watched:
    """What both kinds of stream do beside forwarding: count, and give the grant back once."""

    def __init__(self, stream: Any, grant: Grant, headers: Any) -> None:
        self._stream, self._grant = stream, grant
        self._watch: UsageWatch | None = UsageWatch(headers.get("content-encoding", ""))
        self._body = Body(headers) if calls.recording(grant) else None
        self._begun = False

    @property
    def _left_at_its_end(self) -> bool:
        """Whether the reply was finished, although its reader did not ask for what comes after it."""
        return self._body is not None and self._body.finished

    def _saw(self, data: bytes) -> None:
        if self._watch is not None:
            self._watch.feed(data)
        if not self._begun:
            self._begun = True
            self._grant.first_token()

    def _ended(self, error: BaseException | None = None) -> None:
        watch, self._watch = self._watch, None
        if watch is None:
            return
        used = watch.usage()
        if used is not None:
            self._grant.report(used)
        self._grant.release(None if isinstance(error, GeneratorExit) else error)


@functools.cache
def _tap(library: ModuleType) -> type[Any]:
    base: Any = library.SyncByteStream

    class Tap(_Watched, base):
        """A response body that passes through unchanged and gives its grant back at its end."""

        def __iter__(self) -> Iterator[bytes]:
            try:
                for data in self._stream:
                    self._saw(data)
                    self._record(data)
                    yield data
                self._record(b"", end=True)
            except BaseException as error:
                self._ended(error)
                raise
            self._ended()

        def _record(self, data: bytes, *, end: bool = False) -> None:
            if self._body is not None and (kept := self._body.feed(data, end=end)) is not None:
                self._grant.record(kept)  # type: ignore[attr-defined]

        def close(self) -> None:
            try:
                self._record(b"", end=self._left_at_its_end)
                self._stream.close()
            finally:
                self._ended()

    return Tap


@functools.cache
def _atap(library: ModuleType) -> type[Any]:
    base: Any = library.AsyncByteStream

    class Tap(_Watched, base):
        """A response body that passes through unchanged and gives its grant back at its end."""

        async def __aiter__(self) -> AsyncIterator[bytes]:
            try:
                async for data in self._stream:
                    self._saw(data)
                    await self._record(data)
                    yield data
                await self._record(b"", end=True)
            except BaseException as error:
                self._ended(error)
                raise
            self._ended()

        async def _record(self, data: bytes, *, end: bool = False) -> None:
            if self._body is not None and (kept := self._body.feed(data, end=end)) is not None:
                await self._grant.arecord(kept)  # type: ignore[attr-defined]

        async def aclose(self) -> None:
            try:
                await self._record(b"", end=self._left_at_its_end)
                await self._stream.aclose()
            finally:
                self._ended()

    return Tap
