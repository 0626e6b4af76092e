"""Errors as data: the kernel's own keep their class, others keep their name and their words."""

from __future__ import annotations

from typing import Any

from aios_kernel import errors
from aios_kernel.errors import AiosError, CoreError

__all__ = ["RemoteError", "decode_error", "encode_error"]

_OURS = {name: found for name in errors.__all__ if issubclass(found := getattr(errors, name), AiosError)}


class RemoteError(Exception):
    """What an exception of another process said."""


def encode_error(error: BaseException) -> dict[str, Any]:
    """Describe an error; `leaving` marks one that is no failure (cancellation, Ctrl-C)."""
    found: dict[str, Any] = {"type": _known(error), "message": str(error)}
    if found["type"] is None:
        found["message"] = f"{type(error).__name__}: {error}"
    if not isinstance(error, Exception):
        found["leaving"] = True
    if error.__cause__ is not None:
        found["cause"] = f"{type(error.__cause__).__name__}: {error.__cause__}"
    return found


def decode_error(data: Any, otherwise: type[Exception] = CoreError) -> BaseException:
    """The error itself: of the kernel's class where it has one, else of the class `otherwise`."""
    message = str(data.get("message", ""))
    if data.get("leaving"):
        return GeneratorExit(message)
    kind = _OURS.get(data.get("type"), otherwise)
    # Some classes make their message from several arguments: it is made already.
    error = kind.__new__(kind, message)
    error.args = (message,)
    if data.get("cause"):
        error.__cause__ = RemoteError(str(data["cause"]))
    return error


def _known(error: BaseException) -> str | None:
    """The nearest class of the kernel's that the error is of."""
    return next((one.__name__ for one in type(error).__mro__ if _OURS.get(one.__name__) is one), None)
