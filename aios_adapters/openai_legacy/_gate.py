"""The gates in the SDK's 0.x: `APIRequestor.request` and `arequest`, through which every resource goes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from aios_adapters import calls
from aios_adapters.openai_legacy._exchange import Exchange
from aios_adapters.openai_legacy._lease import RESPONSES, aleased, leased

__all__ = ["async_request", "sync_request"]

Function = Callable[..., Any]


def sync_request(native: Function) -> Function:
    """Wrap `APIRequestor.request`."""

    def request(self: Any, method: Any, url: Any, params: Any = None, *args: Any, **kwargs: Any) -> Any:
        exchange = Exchange(self, method, url, params, args, kwargs)
        syscall = calls.enter_llm("openai_legacy", exchange.build)
        if syscall is None:
            return native(self, method, url, params, *args, **kwargs)
        with calls.refusals(exchange.refused), syscall as grant:
            if grant.lease:
                with calls.claiming(grant):
                    answer = native(self, method, url, params, *args, **kwargs)
                return leased(grant, answer)
            if (kept := calls.recorded(grant, RESPONSES)) is not None:
                return exchange.replayed(kept)
            exchange.check()
            if not exchange.stream:
                return exchange.answer(exchange.whole(grant.reply()))
            deltas = grant.keep().deltas()
            # The first piece is waited for here, so that a failure is raised where an HTTP error would be.
            return exchange.answer(exchange.streamed(next(deltas, None), deltas, grant))

    return request


def async_request(native: Function) -> Function:
    """Wrap `APIRequestor.arequest`."""

    async def arequest(self: Any, method: Any, url: Any, params: Any = None, *args: Any, **kwargs: Any) -> Any:
        exchange = Exchange(self, method, url, params, args, kwargs)
        syscall = calls.enter_llm("openai_legacy", exchange.build)
        if syscall is None:
            return await native(self, method, url, params, *args, **kwargs)
        with calls.refusals(exchange.refused):
            async with syscall as grant:
                if grant.lease:
                    with calls.claiming(grant):
                        answer = await native(self, method, url, params, *args, **kwargs)
                    return await aleased(grant, answer)
                if (kept := calls.recorded(grant, RESPONSES)) is not None:
                    return exchange.areplayed(kept)
                exchange.check()
                if not exchange.stream:
                    return exchange.answer(exchange.whole(await grant.areply()))
                deltas = grant.keep().adeltas()
                return exchange.answer(exchange.astreamed(await anext(deltas, None), deltas, grant))

    return arequest
