"""Messages handled one at a time without anybody ever waiting for a lock.

A grant can be given back by the garbage collector or a signal handler in the middle of any line, also of a line that
runs under a lock. So nothing here blocks: a message is put on a deque, and whoever is at work handles it.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Any

from aios_kernel.logs import logger

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["Serial"]

log = logger(__name__)
MAX_INTERRUPTS = 8  # a function interrupted this often raises the interrupt by itself and would do so for ever


class Serial:
    """Run posted functions in order, one at a time, in some poster's thread.

    Locking: `post` never blocks and may be called from a finaliser, a signal handler or a posted function itself (the
    new one then runs after it). A posted function must not wait for another. An interrupt (KeyboardInterrupt) that
    arrives inside is raised in its thread only after nothing is left to do; the function it hit runs again from its
    start, so posted functions must be idempotent.
    """

    __slots__ = ("_holder", "_inbox", "_interrupts")

    def __init__(self) -> None:
        self._inbox: deque[tuple[Callable[..., None], tuple[Any, ...]]] = deque()
        # Who is at work: the token of one post. Not a lock, since an interrupt between taking a lock and noting that
        # it was taken would leave it taken for ever; here the holder can always be asked who it is.
        self._holder: dict[int, object] = {}
        self._interrupts = 0

    def post(self, function: Callable[..., None], *args: Any) -> None:
        """Have `function(*args)` run, here and now or by the thread that is at it."""
        interrupt: BaseException | None = None
        token = object()
        posted = False
        while True:
            try:
                if not posted:
                    self._inbox.append((function, args))
                    posted = True
                self._work(token)
                break
            except BaseException as error:  # noqa: BLE001 - raised below, once nobody's message is left behind
                interrupt = error
                self._let_go(token)
        if interrupt is not None:
            raise interrupt

    def _work(self, token: object) -> None:
        # The holder looks into the inbox again after it has let go, so a message posted while it was at work is
        # always seen by somebody.
        while self._inbox and self._holder.setdefault(0, token) is token:
            self._drain()
            self._let_go(token)

    def _let_go(self, token: object) -> None:
        if self._holder.get(0) is token:
            del self._holder[0]

    def _drain(self) -> None:
        inbox = self._inbox
        while inbox:
            function, args = inbox[0]
            try:
                function(*args)
            except Exception:
                log.exception("%r failed; going on with the next message", function)
            except BaseException:
                self._interrupts += 1
                if self._interrupts < MAX_INTERRUPTS:
                    raise
                log.critical("%r was interrupted %d times and is given up", function, self._interrupts)
            inbox.popleft()
            self._interrupts = 0
