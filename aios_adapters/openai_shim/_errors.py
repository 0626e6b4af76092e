"""The module `openai.error` of the 0.x SDK: its exceptions, and which of them an error of the present SDK is."""

from __future__ import annotations

import sys
from types import ModuleType
from typing import Any, cast

__all__ = ["make", "translated"]

_NAMES = (
    "APIError",
    "TryAgain",
    "Timeout",
    "APIConnectionError",
    "InvalidRequestError",
    "AuthenticationError",
    "PermissionError",
    "RateLimitError",
    "ServiceUnavailableError",
    "InvalidAPIType",
    "SignatureVerificationError",
)
_BY_STATUS = {
    400: "InvalidRequestError",
    401: "AuthenticationError",
    403: "PermissionError",
    404: "InvalidRequestError",
    409: "TryAgain",
    415: "InvalidRequestError",
    429: "RateLimitError",
    503: "ServiceUnavailableError",
}


class _Errors(ModuleType):
    """Makes its classes when they are first asked for: their base is the present SDK's, which may still be loading."""

    def __getattr__(self, name: str) -> Any:
        if name != "OpenAIError" and name not in _NAMES:
            raise AttributeError(f"module {self.__name__!r} has no attribute {name!r}")
        base = _base() if name == "OpenAIError" else self.OpenAIError
        made = type(name, (base,), {"__module__": self.__name__})
        setattr(self, name, made)
        return made


def _base() -> type[Exception]:
    openai: Any = sys.modules["openai"]
    native: type[Exception] = openai.OpenAIError

    class OpenAIError(native):
        """What every exception of `openai.error` is."""

        def __init__(
            self,
            message: str | None = None,
            http_body: Any = None,
            http_status: int | None = None,
            json_body: Any = None,
            headers: Any = None,
            code: Any = None,
            param: Any = None,
        ) -> None:
            super().__init__(message)
            self.user_message = message
            self.http_body, self.http_status, self.json_body = http_body, http_status, json_body
            self.headers, self.code, self.param = headers or {}, code, param
            self.request_id = self.headers.get("x-request-id")

    return OpenAIError


def make() -> ModuleType:
    """Make the module."""
    return _Errors("openai.error", "The exceptions of the 0.x SDK, over the present one.")


def translated(error: Exception) -> Exception:
    """What the 0.x SDK would have raised; the same object where it has no name for it."""
    openai: Any = sys.modules["openai"]
    old: Any = sys.modules.get("openai.error") or make()
    if isinstance(error, openai.APITimeoutError):
        return old.Timeout(f"Request timed out: {error}")
    if isinstance(error, openai.APIConnectionError):
        return old.APIConnectionError(f"Error communicating with OpenAI: {error}")
    if isinstance(error, openai.APIStatusError):
        return _of_status(old, error)
    return old.APIError(str(error)) if isinstance(error, openai.APIError) else error


def _of_status(old: Any, error: Any) -> Exception:
    response, body = error.response, error.body
    cls = getattr(old, _BY_STATUS.get(error.status_code, "APIError"))
    message = cast("dict[str, Any]", body).get("message") if isinstance(body, dict) else None
    return cls(
        message or str(error),
        http_body=response.text if response.is_closed else None,
        http_status=error.status_code,
        json_body={"error": body},
        headers=response.headers,
        code=getattr(error, "code", None),
        param=getattr(error, "param", None),
    )
