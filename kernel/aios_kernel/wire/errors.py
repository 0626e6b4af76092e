"""Errors of the kernel as OpenAI's API says them: a status and an error object."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from aios_kernel.errors import AccessDenied, ContextTooLong, QueueFull, SyscallError

__all__ = ["Problem", "failure", "problem_of"]


@dataclass(frozen=True, slots=True)
class Problem:
    """An error object and the HTTP status that goes with it."""

    status: int
    message: str
    type: str
    code: str | None = None
    param: str | None = None

    def body(self) -> dict[str, Any]:
        """Return the body of the error reply."""
        return {"error": _error_body(self.message, self.type, self.code, self.param)}


#: What a refusal of the kernel is over HTTP: status, type and code of the error object.
_KINDS: tuple[tuple[type[SyscallError], int, str, str], ...] = (
    (AccessDenied, 403, "permission_error", "access_denied"),
    (QueueFull, 429, "requests", "queue_full"),
    (ContextTooLong, 400, "invalid_request_error", "context_length_exceeded"),
    (SyscallError, 500, "server_error", "kernel_error"),
)


def problem_of(error: SyscallError) -> Problem:
    """Say an error of the kernel as OpenAI's API would."""
    status, kind, code = next((status, kind, code) for cls, status, kind, code in _KINDS if isinstance(error, cls))
    return Problem(status, str(error), kind, code)


def failure(problem: Problem) -> bytes:
    """Encode an error after its stream has begun, in the form in which servers send it."""
    return b"data: " + json.dumps(problem.body()).encode() + b"\n\n"


def _error_body(message: str, kind: str, code: str | None = None, parameter: str | None = None) -> dict[str, Any]:
    """Return an error object."""
    return {"message": message, "type": kind, "param": parameter, "code": code}
