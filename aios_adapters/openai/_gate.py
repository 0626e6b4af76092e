"""The gates in the openai SDK: its one `request`, and the sleep between its retries."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from aios_adapters import calls
from aios_adapters.openai._exchange import Exchange
from aios_adapters.openai._journal import BODY
from aios_adapters.openai._lease import alease, lease, pushed_back

__all__ = ["async_request", "async_sleep", "sync_request", "sync_sleep"]

Function = Callable[..., Any]


def sync_request(native: Function) -> Function:
    """Wrap `SyncAPIClient.request`."""

    def request(self: Any, cast_to: Any, options: Any, *args: Any, **kwargs: Any) -> Any:
        exchange = Exchange(self, cast_to, options, kwargs)
        syscall = calls.enter_llm("openai", exchange.build)
        if syscall is None:
            return native(self, cast_to, options, *args, **kwargs)
        with calls.refusals(exchange.refused), syscall as grant:
            if grant.lease:
                return lease(grant, self, options, lambda: native(self, cast_to, options, *args, **kwargs))
            if (body := calls.recorded(grant, BODY)) is not None:
                return exchange.replayed(body)
            exchange.check()
            if not exchange.stream:
                return exchange.whole(grant.reply(), grant)
            deltas = grant.keep().deltas()
            # The first piece is waited for here, so that a failure is raised where an HTTP error would be.
            return exchange.streamed(next(deltas, None), deltas, grant)

    return request


def async_request(native: Function) -> Function:
    """Wrap `AsyncAPIClient.request`."""

    async def request(self: Any, cast_to: Any, options: Any, *args: Any, **kwargs: Any) -> Any:
        exchange = Exchange(self, cast_to, options, kwargs)
        syscall = calls.enter_llm("openai", exchange.build)
        if syscall is None:
            return await native(self, cast_to, options, *args, **kwargs)
        with calls.refusals(exchange.refused):
            async with syscall as grant:
                if grant.lease:
                    return await alease(grant, self, options, lambda: native(self, cast_to, options, *args, **kwargs))
                if (body := calls.recorded(grant, BODY)) is not None:
                    return await exchange.replayed(body)
                exchange.check()
                if not exchange.stream:
                    return await exchange.whole(await grant.areply(), grant)
                deltas = grant.keep().adeltas()
                return await exchange.astreamed(await anext(deltas, None), deltas, grant)

    return request


def sync_sleep(native: Function) -> Function:
    """Wrap `SyncAPIClient._sleep_for_retry`: a refused attempt waits for its turn, not for a guess."""

    def _sleep_for_retry(self: Any, *args: Any, **kwargs: Any) -> None:
        grant = calls.leased_grant()
        refusal = None if grant is None else pushed_back(self, kwargs.get("response"))
        # The SDK makes this retry whatever others meet with.
        if grant is None or refusal is None or not grant.push_back(*refusal, anyway=True):
            native(self, *args, **kwargs)

    return _sleep_for_retry


def async_sleep(native: Function) -> Function:
    """Wrap `AsyncAPIClient._sleep_for_retry`."""

    async def _sleep_for_retry(self: Any, *args: Any, **kwargs: Any) -> None:
        grant = calls.leased_grant()
        refusal = None if grant is None else pushed_back(self, kwargs.get("response"))
        if grant is None or refusal is None or not await grant.apush_back(*refusal, anyway=True):
            await native(self, *args, **kwargs)

    return _sleep_for_retry
