"""One route that calls a model: from the request to the gate, and from the grant back to the client."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Coroutine, Generator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from aios_integrations.server.asgi import refuse_unread, send_json, send_problem
from aios_integrations.server.openai_api.body import Gone, check_body, parse_body, read_body
from aios_integrations.server.openai_api.identity import agent_of, timeout_of
from aios_integrations.server.openai_api.problems import (
    Refused,
    broken_off,
    headers_of,
    problem_in,
)
from aios_integrations.server.protocol import ABORT, AFTERWARDS
from aios_kernel import wire
from aios_kernel.errors import SyscallError

if TYPE_CHECKING:
    from aios_integrations.server.asgi import Receive, Scope, Send
    from aios_integrations.server.openai_api.models import Models
    from aios_kernel.abi import Delta, LLMCall
    from aios_kernel.gate import Grant
    from aios_kernel.kernel import Kernel

__all__ = ["Activity", "Served"]


@dataclass(slots=True, eq=False)
class Activity:
    """How many requests are being answered."""

    calls: int = 0

    @contextlib.contextmanager
    def call(self) -> Generator[None, None, None]:
        """Count one for as long as the block runs."""
        self.calls += 1
        try:
            yield
        finally:
            self.calls -= 1


@dataclass(slots=True, eq=False)
class _Request:
    """A request that is being answered."""

    scope: Scope
    send: Send
    call: LLMCall
    body: dict[str, Any]
    started: bool = False  # the head of the answer is out

    def abort(self) -> None:
        """Break the connection off, so that the client sees that the answer is not complete."""
        self.scope["extensions"][ABORT]["abort"]()


class Served:
    """Answer the requests of one path. Whoever goes away meanwhile gives the grant back at once."""

    def __init__(self, kernel: Kernel, path: str, models: Models, activity: Activity) -> None:
        self._kernel, self._path, self._models, self._activity = kernel, path, models, activity

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        with self._activity.call():
            try:
                content = await read_body(scope, receive)
            except Refused as refused:
                await refuse_unread(receive, send, refused.problem, headers_of(refused.problem))
                return
            except Gone:
                return
            try:
                request = self._request(scope, send, content)
            except Refused as refused:
                await send_problem(send, refused.problem, headers_of(refused.problem))
            else:
                await _unless_gone(self._answer(request), receive)

    def _request(self, scope: Scope, send: Send, content: bytes) -> _Request:
        (agent, named), timeout = agent_of(scope), timeout_of(scope)
        body = parse_body(content)
        check_body(self._path, body)
        call = wire.build_call(self._path, body, "", stream=bool(body.get("stream")))
        self._models.check(call)
        if not named:  # known by its process only, it is not known any more when that has gone
            scope["extensions"][AFTERWARDS].setdefault(agent.name, lambda: self._kernel.exit((agent,)))
        return _Request(scope, send, replace(call, agent=agent, timeout=timeout), body)

    async def _answer(self, request: _Request) -> None:
        try:
            async with self._kernel.syscall(request.call) as grant:
                await (self._stream if request.call.stream else self._whole)(request, grant)
        except SyscallError as error:
            await self._fail(request, error)

    async def _fail(self, request: _Request, error: SyscallError) -> None:
        problem = problem_in(error)
        if broken_off(error):
            request.abort()
        elif request.started:
            await request.send({"type": "http.response.body", "body": wire.failure(problem), "more_body": False})
        else:
            await send_problem(request.send, problem, headers_of(problem))

    async def _whole(self, request: _Request, grant: Grant) -> None:
        reply = await grant.areply()
        body = wire.answer_body(self._path, request.call, reply, request.body)
        await send_json(request.send, 200, body, {"x-request-id": f"aios-{grant.sid}"})

    async def _stream(self, request: _Request, grant: Grant) -> None:
        """Send piece by piece. The head waits for the first one: until then a failure has its own status.

        Sending waits for a slow reader; what the core makes meanwhile lies in the call's mailbox.
        """
        path, events = self._path, wire.EVENTS[self._path](request.call, request.body)
        async with contextlib.aclosing(_opened(grant)) as deltas:
            first = await anext(deltas, None)
            await request.send(_head(grant))
            request.started = True
            await _piece(request, wire.encode(path, events.begin()))
            if first is not None:
                await _piece(request, wire.encode(path, events.feed(first)))
            async for delta in deltas:
                await _piece(request, wire.encode(path, events.feed(delta)))
        end = wire.encode(path, events.end()) + wire.done(path)
        await request.send({"type": "http.response.body", "body": end, "more_body": False})


async def _opened(grant: Grant) -> AsyncGenerator[Delta, None]:
    async for delta in grant.adeltas():
        yield delta


def _head(grant: Grant) -> dict[str, Any]:
    headers = {
        "content-type": "text/event-stream; charset=utf-8",
        "cache-control": "no-cache",
        "x-request-id": f"aios-{grant.sid}",
    }
    coded = [(name.encode(), value.encode()) for name, value in headers.items()]
    return {"type": "http.response.start", "status": 200, "headers": coded}


async def _piece(request: _Request, content: bytes) -> None:
    if content:
        await request.send({"type": "http.response.body", "body": content, "more_body": True})


async def _unless_gone(work: Coroutine[Any, Any, None], receive: Receive) -> None:
    """Run to the end, or to the moment at which the client goes away."""
    working = asyncio.ensure_future(work)
    leaving = asyncio.ensure_future(_left(receive))
    try:
        await asyncio.wait({working, leaving}, return_when=asyncio.FIRST_COMPLETED)
    finally:
        leaving.cancel()
        if not working.done():
            working.cancel()
        await asyncio.wait({working})
    if not working.cancelled() and (error := working.exception()) is not None:
        raise error


async def _left(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
