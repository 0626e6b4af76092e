"""One request of the 0.x SDK: its call, and its answers without the network."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import AsyncIterator, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from aios_adapters.calls import closing
from aios_kernel import wire
from aios_kernel.abi import Delta, LLMCall, Reply
from aios_kernel.errors import DeadlineExceeded, KernelClosed, SyscallError

if TYPE_CHECKING:
    from aios_kernel.gate import Grant

__all__ = ["Exchange", "response"]

#: The path with what older versions and Azure put around it: an engine before, an API version behind.
_URL = re.compile(r"(?:.*?/(?:engines|deployments)/(?P<engine>[^/]+))?(?P<path>/[a-z/]+)(?:\?.*)?")
_STREAM = 2  # the place of `stream` among the arguments after `params`


class Exchange:
    """A request on its way through the gate."""

    def __init__(
        self, requestor: Any, method: str, url: str, params: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any]
    ) -> None:
        self.requestor, self.method, self.url, self.params = requestor, method, url, params
        given = args[_STREAM] if len(args) > _STREAM else kwargs.get("stream", False)
        self.stream, self.path = bool(given), ""
        self._call = LLMCall()
        self._body: Mapping[str, Any] = {}

    def build(self) -> LLMCall | None:
        """Translate the request; None when it is none of ours."""
        match = _URL.fullmatch(self.url)
        if match is None or match["path"] not in wire.PATHS or self.method.lower() != "post":
            return None
        self.path = match["path"]
        self._body = {**({"model": match["engine"]} if match["engine"] else {}), **(self.params or {})}
        endpoint = str(self.requestor.api_base).rstrip("/")
        self._call = wire.build_call(self.path, self._body, endpoint, stream=self.stream)
        return self._call

    # Served answers

    def check(self) -> None:
        """Refuse what no core of the kernel can do, as a server would."""
        name = wire.unsupported(self.path, self._body)
        if name is not None:
            message = f"Unsupported parameter: {name!r} is not supported by the kernel's cores."
            problem = wire.Problem(400, message, "invalid_request_error", "unsupported_parameter", name)
            raise self._error(problem)

    def answer(self, response: Any) -> tuple[Any, bool, Any]:
        """What `request` returns: a response or an iterator of them, whether it streams, and the key."""
        return response, self.stream, self.requestor.api_key

    def replayed(self, kept: Any) -> tuple[Any, bool, Any]:
        """What `request` returns for what a journal has."""
        bodies = [response(body, kept["headers"]) for body in kept["bodies"]]
        return self.answer(iter(bodies) if self.stream else bodies[0])

    def areplayed(self, kept: Any) -> tuple[Any, bool, Any]:
        """The same for an event loop."""
        answer, streams, key = self.replayed(kept)
        return _each(answer) if streams else answer, streams, key

    def whole(self, reply: Reply) -> Any:
        """The SDK's response for a reply."""
        return _response(wire.answer_body(self.path, self._call, reply, self._body))

    def streamed(self, first: Delta | None, rest: Iterator[Delta], grant: Grant) -> Iterator[Any]:
        """The SDK's responses, one for each chunk."""
        writer = wire.EVENTS[self.path](self._call, self._body)
        try:
            yield from map(_response, writer.begin())
            if first is not None:
                yield from map(_response, writer.feed(first))
            for delta in rest:
                yield from map(_response, writer.feed(delta))
            yield from map(_response, writer.end())
        except SyscallError as error:
            raise self.refused(error) from error
        finally:
            grant.release()

    async def astreamed(self, first: Delta | None, rest: AsyncIterator[Delta], grant: Grant) -> AsyncIterator[Any]:
        """The same in an event loop."""
        writer = wire.EVENTS[self.path](self._call, self._body)
        try:
            for chunk in [*writer.begin(), *(writer.feed(first) if first is not None else ())]:
                yield _response(chunk)
            async with closing(rest) as deltas:
                async for delta in deltas:
                    for chunk in writer.feed(delta):
                        yield _response(chunk)
            for chunk in writer.end():
                yield _response(chunk)
        except SyscallError as error:
            raise self.refused(error) from error
        finally:
            grant.release()

    # Refusals

    def refused(self, error: SyscallError) -> BaseException:
        """What a user of the SDK expects where the kernel refuses a call."""
        module: Any = sys.modules["openai.error"]
        if isinstance(error, DeadlineExceeded):
            return module.Timeout(str(error))
        if isinstance(error, KernelClosed):
            return module.APIConnectionError(str(error))
        return self._error(wire.problem_of(error))

    def _error(self, problem: wire.Problem) -> BaseException:
        """The SDK's own choice of class for a status."""
        body = problem.body()
        return self.requestor.handle_error_response(json.dumps(body), problem.status, body, {})


def response(body: Any, headers: Mapping[str, str]) -> Any:
    """The SDK's own response."""
    module: Any = sys.modules["openai.openai_response"]
    return module.OpenAIResponse(body, headers)


def _response(body: dict[str, Any]) -> Any:
    return response(body, {})


async def _each(responses: Iterator[Any]) -> AsyncIterator[Any]:
    for one in responses:
        yield one
