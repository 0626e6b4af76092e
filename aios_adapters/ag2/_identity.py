"""Who is calling: the agent whose turn it is."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from typing import Any

from aios_adapters.identity import framework_agent

__all__ = ["FRAMEWORK", "drive_scope"]

FRAMEWORK = "ag2"
Function = Callable[..., Any]
Drive = Callable[[], Awaitable[Any]]


def drive_scope(native: Function) -> Function:
    """Drive a turn as its agent. The turn's scope is opened for a caller, who stays what he is."""

    def _drive_scope(self: Any, *args: Any, **kwargs: Any) -> Any:
        return _driven(self, native(self, *args, **kwargs))

    return _drive_scope


@contextlib.asynccontextmanager
async def _driven(agent: Any, turn: AbstractAsyncContextManager[Drive]) -> AsyncGenerator[Drive, None]:
    async with turn as drive:

        async def drive_as() -> Any:
            with framework_agent(str(agent.name), framework=FRAMEWORK, instance=f"{id(agent):x}", unique=True):
                return await drive()

        yield drive_as
