"""Asking a function or a coroutine function: whatever gives an answer or raises."""

from __future__ import annotations

import asyncio
import inspect
import threading
from typing import TYPE_CHECKING, Any

from aios_kernel.access.approval import Answer

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from aios_kernel.access.approval import Request

__all__ = ["Callback"]


class Callback:
    """Ask `function(request)`; it returns an `Answer` or True, and anything else, or raising, is no.

    A coroutine function runs in `loop`, a loop of the program's own; another one in a thread of its own, so that it may
    take its time. A function is called by several threads at once where several calls wait.
    """

    def __init__(
        self,
        function: Callable[[Request], Answer | bool | Awaitable[Answer | bool]],
        *,
        loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        self._function, self._loop = function, loop
        self._closed = False

    def ask(self, request: Request, reply: Callable[[Answer], None]) -> None:
        """Call the function, elsewhere."""
        if self._closed:
            reply(Answer(allowed=False, by="nobody", note="the program asks nobody any more"))
        elif self._loop is not None:
            asyncio.run_coroutine_threadsafe(self._await(request, reply), self._loop)
        else:
            thread = threading.Thread(target=self._call, args=(request, reply), name="aios-approval", daemon=True)
            thread.start()

    def withdraw(self, request: Request) -> None:
        """A function that was called cannot be stopped; its answer comes too late."""

    def close(self) -> None:
        """Call it no more."""
        self._closed = True

    def _call(self, request: Request, reply: Callable[[Answer], None]) -> None:
        try:
            found = self._function(request)
            if inspect.iscoroutine(found):
                found.close()
                raise TypeError(
                    "a coroutine function needs the loop that it is to run in: Callback(function, loop=loop)"
                )
            reply(_answer(found))
        except BaseException as error:  # noqa: BLE001 - whatever it is, it is no yes
            reply(Answer(allowed=False, by="callback", note=f"it raised {error!r}"))

    async def _await(self, request: Request, reply: Callable[[Answer], None]) -> None:
        try:
            found = self._function(request)
            reply(_answer(await found if inspect.isawaitable(found) else found))
        except BaseException as error:
            reply(Answer(allowed=False, by="callback", note=f"it raised {error!r}"))
            if not isinstance(error, Exception):
                raise


def _answer(found: Any) -> Answer:
    if isinstance(found, Answer):
        return found
    return Answer(allowed=found is True, by="callback", note="" if found is True else f"it answered {found!r}")
