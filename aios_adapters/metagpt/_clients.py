"""What the clients of openai and anthropic raise, and how they are told to wait: both SDKs are made the same way."""

from __future__ import annotations

import json
import sys
from types import ModuleType
from typing import TYPE_CHECKING, Any

from aios_kernel import wire
from aios_kernel.errors import DeadlineExceeded, KernelClosed

if TYPE_CHECKING:
    from aios_kernel.errors import SyscallError

__all__ = ["given_up", "native_error"]

_PUSHED_BACK = frozenset({429, 503})
_LONGEST_WAIT = 60.0  # seconds; the SDKs do not follow a longer Retry-After either


def native_error(llm: Any, error: SyscallError) -> BaseException:
    """Return the client's own error; the kernel's, which is a built-in one too, where the client has no such classes."""
    client: Any = getattr(llm, "aclient", None)
    sdk, httpx = _sdk(client), sys.modules.get("httpx")
    if sdk is None or httpx is None:
        return error
    request: Any = httpx.Request("POST", f"{str(client.base_url).rstrip('/')}/chat/completions")
    if isinstance(error, DeadlineExceeded):
        return sdk.APITimeoutError(request=request)
    if isinstance(error, KernelClosed):
        return sdk.APIConnectionError(message=str(error), request=request)
    problem = wire.problem_of(error)
    response: Any = httpx.Response(problem.status, content=json.dumps(problem.body()).encode(), request=request)
    return client._make_status_error_from_response(response)


def given_up(llm: Any, error: Exception) -> tuple[int, float | None] | None:
    """Status and Retry-After where a client has used up its retries on an endpoint that refuses for load; else None."""
    client: Any = getattr(llm, "aclient", None)
    response: Any = getattr(error, "response", None)
    if response is None or getattr(error, "status_code", None) not in _PUSHED_BACK or _sdk(client) is None:
        return None
    if client.max_retries <= 0 or not client._should_retry(response):
        return None
    wait: float | None = client._parse_retry_after_header(response.headers)
    return response.status_code, wait if wait is not None and 0 < wait <= _LONGEST_WAIT else None


def _sdk(client: Any) -> Any:
    """The package with the errors of a client, openai's or anthropic's; None for any other."""
    for cls in type(client).__mro__:
        module: ModuleType | None = sys.modules.get(cls.__module__.partition(".")[0])
        names = ("APITimeoutError", "APIConnectionError")
        if module is not None and all(hasattr(module, name) for name in names):
            return module if hasattr(client, "_make_status_error_from_response") else None
    return None
