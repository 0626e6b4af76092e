"""A job of `OpenAICore` on its way, and what servers say when they refuse or fail one."""

from __future__ import annotations

import email.utils
import json
import threading
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from aios_kernel.cores.continuation import Written
from aios_kernel.errors import CoreError

if TYPE_CHECKING:
    from http.client import HTTPResponse

    from aios_kernel.cores.http_pool import Exchange
    from aios_kernel.serving import Job

__all__ = ["Served", "failure_of", "message_of", "retry_after_of"]


class Served:
    """A job in this core: with which connection, and since when it has been refused without anything being served."""

    __slots__ = ("_exchange", "_lock", "job", "since", "successes", "waits", "written")

    def __init__(self, job: Job, now: float) -> None:
        self.job = job
        self.waits = False  # pushed back or put down, in the run queue
        self.written = Written()
        self.since, self.successes = now, -1
        self._exchange: Exchange | None = None
        self._lock = threading.Lock()

    def take(self, exchange: Exchange) -> bool:
        """Bind a worker's connection to the job; False when the job has ended meanwhile."""
        with self._lock:
            if self.job.done:
                return False
            self._exchange = exchange
            return True

    def give_back(self, exchange: Exchange) -> None:
        """Unbind the connection, unless the job is back already and has another one."""
        with self._lock:
            if self._exchange is exchange:
                self._exchange = None

    def abort(self) -> None:
        """Break off the exchange, if the job is in one."""
        with self._lock:
            if self._exchange is not None:
                self._exchange.abort()


def failure_of(name: str, error: Exception) -> CoreError:
    """What the caller is told of an exception in a worker."""
    if isinstance(error, CoreError):
        return error
    failure = CoreError(f"{name}: {error!r}")
    failure.__cause__ = error
    return failure


def message_of(text: str) -> tuple[str, str]:
    """Message and code of an error body, in whichever shape the server has."""
    try:
        error: Any = json.loads(text)
    except ValueError:
        return text, ""
    if isinstance(error, Mapping):
        error = error.get("error", error)  # pyright: ignore[reportUnknownMemberType,reportUnknownVariableType]
    if isinstance(error, Mapping):
        return str(error.get("message") or text), str(error.get("code") or "")  # pyright: ignore[reportUnknownMemberType,reportUnknownArgumentType]
    return str(error), ""  # pyright: ignore[reportUnknownArgumentType]


def retry_after_of(response: HTTPResponse) -> float | None:
    """Seconds the server asks for: milliseconds, seconds or a date; None when it does not say."""
    try:
        if (milliseconds := response.getheader("retry-after-ms")) is not None:
            return max(0.0, float(milliseconds) / 1000)
        value = response.getheader("retry-after")
        if value is None:
            return None
        if value.strip()[:1].isdigit():
            return max(0.0, float(value))
        return max(0.0, email.utils.parsedate_to_datetime(value).timestamp() - time.time())
    except (TypeError, ValueError):
        return None
