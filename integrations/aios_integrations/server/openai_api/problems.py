"""What went wrong with a request, in the words and numbers of OpenAI's API."""

from __future__ import annotations

import http.client
from dataclasses import replace

from aios_kernel.errors import (
    ContextTooLong,
    CoreError,
    DeadlineExceeded,
    KernelClosed,
    ModelLoadError,
    SyscallError,
)
from aios_kernel.wire import Problem, problem_of

__all__ = ["Refused", "bad", "broken_off", "headers_of", "problem_in"]

RETRY_AFTER = {429: "1", 503: "5"}


class Refused(Exception):
    """A request that is answered with a problem before it becomes a call."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(problem.message)
        self.problem = problem


def bad(message: str, param: str | None = None, code: str | None = None, status: int = 400) -> Refused:
    """Refuse a request as wrong."""
    return Refused(Problem(status, message, "invalid_request_error", code, param))


def problem_in(error: SyscallError) -> Problem:
    """Say what a call ended with; a status that the core's own server gave is passed on."""
    if isinstance(error, DeadlineExceeded):
        return Problem(408, str(error), "timeout", "deadline_exceeded")
    if isinstance(error, KernelClosed):
        return Problem(503, str(error), "server_error", "kernel_closed")
    if not isinstance(error, CoreError) or isinstance(error, (ModelLoadError, ContextTooLong)):
        return problem_of(error)
    return _of_core(error)


def _of_core(error: CoreError) -> Problem:
    if not error.taken:  # the core could make nothing of it: that is the request's fault
        return Problem(400, str(error), "invalid_request_error", "invalid_call")
    status = getattr(error, "status", None)
    if isinstance(status, int) and 400 <= status <= 599:
        kind = "invalid_request_error" if status < 500 else "server_error"
        return Problem(status, str(error), kind, "upstream_error")
    return replace(problem_of(error), status=502, code="core_error")


def headers_of(problem: Problem) -> dict[str, str]:
    """Headers that belong to a problem's answer."""
    wait = RETRY_AFTER.get(problem.status)
    return {} if wait is None else {"retry-after": wait}


def broken_off(error: BaseException) -> bool:
    """Whether the core's own server broke the connection off: then so does this one, since clients know what that is."""
    cause = error.__cause__
    if isinstance(cause, ConnectionRefusedError):  # nobody is there: that is worth saying
        return False
    return isinstance(cause, (ConnectionError, EOFError, http.client.HTTPException))
