"""AutoGen cancels by a token that is handed down; what waits on our side has to hear of it too."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from typing import Any

__all__ = ["cancellable"]


async def cancellable(call: Awaitable[Any], token: Any) -> Any:
    """Wait for a call that a CancellationToken, if there is one, can cancel."""
    if token is None:
        return await call
    future = asyncio.ensure_future(call)
    token.link_future(future)
    return await future
