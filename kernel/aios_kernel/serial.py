"""Messages handled one at a time without anybody ever waiting for a lock.

A grant can be given back by the garbage collector or a signal handler in the middle of any line, also of a line that
runs under a lock. So nothing here blocks: a message is put on a deque, and whoever holds the lock handles it.
"""

from __future__ import annotations

import logging
import threading
from collections import deque
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["Serial"]

log = logging.getLogger(__name__)


class Serial:
    """Run posted functions in order, one at a time, in some poster's thread.

    Locking: `post` never blocks and may be called from a finaliser, a signal handler or a posted function itself (the
    new one then runs after it). A posted function must not wait for another. An interrupt (KeyboardInterrupt) that
    arrives inside is raised in its thread only after nothing is left to do; the function it hit runs again from its
    start, so posted functions must be idempotent.
    """

    __slots__ = ("_inbox", "_lock")

    def __init__(self) -> None:
        self._inbox: deque[tuple[Callable[..., None], tuple[Any, ...]]] = deque()
        self._lock = threading.Lock()

    def post(self, function: Callable[..., None], *args: Any) -> None:
        """Have `function(*args)` run, here and now or by the thread that is at it."""
        inbox = self._inbox
        inbox.append((function, args))
        interrupt: BaseException | None = None
        # The holder looks into the inbox again after it lets go of the lock, so a message posted while the lock was
        # taken is always seen by somebody.
        while inbox and self._lock.acquire(blocking=False):
            try:
                self._drain()
            except BaseException as error:  # noqa: BLE001 - raised below, once nobody's message is left behind
                interrupt = error
            finally:
                self._lock.release()
        if interrupt is not None:
            raise interrupt

    def _drain(self) -> None:
        inbox = self._inbox
        while inbox:
            function, args = inbox[0]
            try:
                function(*args)
            except Exception:
                log.exception("%r failed; going on with the next message", function)
            inbox.popleft()
