"""What the kernel refuses, as litellm's own exceptions."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from aios_kernel.errors import AccessDenied, ContextTooLong, DeadlineExceeded, KernelClosed, QueueFull, SyscallError

__all__ = ["refused", "unsupported"]

PROVIDER = "aios"
_CLASSES: tuple[tuple[type[SyscallError], str, int], ...] = (
    (AccessDenied, "PermissionDeniedError", 403),
    (QueueFull, "RateLimitError", 429),
    (ContextTooLong, "ContextWindowExceededError", 400),
    (DeadlineExceeded, "Timeout", 408),
    (KernelClosed, "APIConnectionError", 500),
    (SyscallError, "InternalServerError", 500),
)


def refused(error: SyscallError, model: str) -> BaseException:
    """The exception of litellm that says what the kernel's says."""
    name, status = next((name, status) for cls, name, status in _CLASSES if isinstance(error, cls))
    return _make(name, str(error), model, status)


def unsupported(parameter: str, model: str) -> BaseException:
    """A request with a parameter that no core of the kernel can honour."""
    message = f"Unsupported parameter: {parameter!r} is not supported by the kernel's cores."
    return _make("UnsupportedParamsError", message, model, 400)


def _make(name: str, message: str, model: str, status: int) -> BaseException:
    litellm: Any = import_module("litellm")
    kwargs: dict[str, Any] = {"message": message, "llm_provider": PROVIDER, "model": model}
    if name == "PermissionDeniedError":
        httpx: Any = import_module("httpx")
        request = httpx.Request("POST", "http://aios.invalid")
        kwargs["response"] = httpx.Response(status, request=request)
    return getattr(litellm, name)(**kwargs)
