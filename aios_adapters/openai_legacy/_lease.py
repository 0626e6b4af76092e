"""A leased request of the 0.x SDK: its grant for as long as it streams, and what a journal keeps of its answer."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncGenerator, AsyncIterator, Generator, Iterator, Mapping
from typing import TYPE_CHECKING, Any, cast

from aios_adapters import calls
from aios_adapters._log import warn_once
from aios_adapters.calls import closing
from aios_adapters.openai._usage import usage_of
from aios_kernel.errors import JournalError

if TYPE_CHECKING:
    from aios_kernel.gate import Grant

__all__ = ["RESPONSES", "aleased", "leased"]

RESPONSES = "openai 0.x"  # the form of what is recorded here
#: The headers that the SDK reads after it has made its response.
_HEADERS = ("request-id", "retry-after", "operation-location", "OpenAI-Organization", "Openai-Processing-Ms")
Answer = tuple[Any, bool, Any]


class _Kept:
    """The responses that have come, for a journal."""

    def __init__(self, grant: Grant) -> None:
        self._grant: Any = grant
        self._seen: list[Any] | None = [] if calls.recording(grant) else None
        self._open: set[int] = set()
        self._finished = False

    def saw(self, response: Any) -> None:
        """Take one."""
        if self._seen is None:
            return
        self._seen.append(response)
        for choice in _choices(response):
            index, reason = choice.get("index", 0), choice.get("finish_reason")
            (self._open.add if reason is None else self._open.discard)(index)
            self._finished = not self._open

    def record(self, *, left: bool = False) -> None:
        """Record them, and wait until they are on the disk; a stream that is left counts once its reply is finished."""
        if (kept := self._take(left=left)) is not None:
            with _outlived(left=left):
                self._grant.record(kept)

    async def arecord(self, *, left: bool = False) -> None:
        """The same in an event loop."""
        if (kept := self._take(left=left)) is not None:
            with _outlived(left=left):
                await self._grant.arecord(kept)

    def _take(self, *, left: bool) -> dict[str, Any] | None:
        seen, self._seen = self._seen, None
        if seen is None or (left and not self._finished):
            return None
        if any(isinstance(response.data, (bytes, bytearray)) for response in seen):
            warn_once("an answer of the openai SDK that is no JSON cannot be journaled, so its call will be made again")
            self._grant.unrecorded()
            return None
        headers: Mapping[str, str] = seen[0]._headers if seen else {}
        told = {name: value for name in _HEADERS if (value := headers.get(name)) is not None}
        return {RESPONSES: {"bodies": [response.data for response in seen], "headers": told}}


def _outlived(*, left: bool) -> contextlib.AbstractContextManager[None]:
    """A stream that was left may be collected when its journal is long closed: nobody is there to be told."""
    return contextlib.suppress(JournalError) if left else contextlib.nullcontext()


def leased(grant: Grant, answer: Answer) -> Answer:
    """Account for a leased call, or leave its grant with the stream."""
    response, streams, key = answer
    if streams:
        return _watched(calls.keep(grant), response), streams, key
    kept = _whole(grant, response)
    kept.record()
    return answer


async def aleased(grant: Grant, answer: Answer) -> Answer:
    """The same in an event loop."""
    response, streams, key = answer
    if streams:
        return _awatched(calls.keep(grant), response), streams, key
    kept = _whole(grant, response)
    await kept.arecord()
    return answer


def _whole(grant: Grant, response: Any) -> _Kept:
    calls.report(grant, _usage, response)
    kept = _Kept(grant)
    kept.saw(response)
    return kept


def _watched(grant: Grant, responses: Iterator[Any]) -> Generator[Any, None, None]:
    kept = _Kept(grant)
    try:
        for index, response in enumerate(responses):
            if index == 0:
                grant.first_token()
            calls.report(grant, _usage, response)
            kept.saw(response)
            yield response
        kept.record()
    except GeneratorExit:
        kept.record(left=True)
        raise
    finally:
        grant.release()


async def _awatched(grant: Grant, responses: AsyncIterator[Any]) -> AsyncGenerator[Any, None]:
    kept, first = _Kept(grant), True
    try:
        async with closing(responses) as items:
            async for response in items:
                if first:
                    grant.first_token()
                first = False
                calls.report(grant, _usage, response)
                kept.saw(response)
                yield response
        await kept.arecord()
    except GeneratorExit:
        await kept.arecord(left=True)
        raise
    finally:
        grant.release()


def _choices(response: Any) -> list[Mapping[str, Any]]:
    data = response.data
    choices: Any = cast("Mapping[str, Any]", data).get("choices") if isinstance(data, Mapping) else None
    return list(choices or ())


def _usage(response: Any) -> Any:
    data = response.data
    return usage_of(cast("Mapping[str, Any]", data).get("usage")) if isinstance(data, Mapping) else None
