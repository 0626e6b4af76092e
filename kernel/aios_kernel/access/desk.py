"""The desk: every open question, whoever answers it first, and what is done when nobody does."""

from __future__ import annotations

import queue
import threading
from typing import TYPE_CHECKING

from aios_kernel.access.approval import Answer
from aios_kernel.errors import AccessDenied

if TYPE_CHECKING:
    from collections.abc import Callable

    from aios_kernel.access.approval import Approver, Request
    from aios_kernel.access.decisions import Decisions
    from aios_kernel.clock import Clock, Timer

__all__ = ["Desk", "Question"]


class Question:
    """A call's hold (see `aios_kernel.holds`): it is put to the approver when the call waits, and ends with an answer."""

    __slots__ = ("desk", "gone", "request", "settle", "timer")

    def __init__(self, desk: Desk, request: Request) -> None:
        self.desk, self.request = desk, request
        self.settle: Callable[[BaseException | None], None] | None = None
        self.timer: Timer | None = None
        self.gone = False

    def begin(self, settle: Callable[[BaseException | None], None]) -> None:
        """Ask."""
        self.settle = settle
        self.desk.open(self)

    def withdraw(self) -> None:
        """Stop asking."""
        self.gone = True
        self.desk.drop(self)


class Desk:
    """Put questions to an approver, and settle each exactly once.

    Locking: there is none to wait for. Who takes a question out of `_open` is the one to settle it, and taking it out is
    one step; so answers, timeouts and withdrawals may come from any thread, and from inside the scheduler.
    `record(request, answer)` is told of each end before its call hears of it, and what it raises makes the answer no.
    """

    def __init__(
        self,
        approver: Approver,
        decisions: Decisions,
        clock: Clock,
        timeout: float,
        record: Callable[[Request, Answer], None],
    ) -> None:
        self._approver, self._decisions, self._clock = approver, decisions, clock
        self._timeout, self._record = timeout, record
        self._open: dict[str, Question] = {}
        self._chores: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()
        self._worker: threading.Thread | None = None

    @property
    def requests(self) -> list[Request]:
        """The open questions, oldest first."""
        return [question.request for question in list(self._open.values())]

    def open(self, question: Question) -> None:
        """Begin to ask."""
        request = question.request
        self._open[request.id] = question
        if question.gone:  # its call was given up a moment ago
            self.drop(question)
            return
        question.timer = self._clock.call_at(self._clock.now() + self._timeout, lambda: self._give_up(request))
        remembered = self._decisions.find(request.key)
        if remembered is not None:  # decided between the check and now
            self.answer(request, remembered)
            return
        try:
            self._approver.ask(request, lambda answer: self._take(request, answer))
        except Exception as error:  # noqa: BLE001 - an approver may be anybody's; it fails closed
            self.answer(request, Answer(allowed=False, by="error", note=f"nobody could be asked: {error!r}"))

    def answer(self, request: Request, answer: Answer) -> bool:
        """Settle a question; False where it was settled before, or its call is gone."""
        question = self._open.pop(request.id, None)
        if question is None:
            return False
        self._end(question, answer)
        if answer.remember:
            self._decisions.keep(request.key, answer)
            for other in [one for one in list(self._open.values()) if one.request.key == request.key]:
                if self._open.pop(other.request.id, None) is not None:
                    self._approver.withdraw(other.request)
                    self._end(other, Answer(allowed=answer.allowed, by=answer.by, note="as just decided"))
        return True

    def _take(self, request: Request, answer: Answer) -> None:
        self.answer(request, answer)

    def drop(self, question: Question) -> None:
        """Forget a question whose call has gone; called inside the scheduler, so the rest is left to a thread."""
        request = question.request
        if self._open.pop(request.id, None) is not None:
            if question.timer is not None:
                question.timer.cancel()
            self._later(lambda: self._withdrawn(request))

    def close(self) -> None:
        """Answer no to every open question, and ask nothing more."""
        for request in self.requests:
            self.answer(request, Answer(allowed=False, by="nobody", note="the access manager was closed"))
        self._approver.close()
        self._chores.put(None)

    def _give_up(self, request: Request) -> None:
        note = f"nobody answered within {self._timeout:g} s"
        if self.answer(request, Answer(allowed=False, by="nobody", note=note)):
            self._approver.withdraw(request)

    def _end(self, question: Question, answer: Answer) -> None:
        request, failure = question.request, None
        if question.timer is not None:
            question.timer.cancel()
        try:
            self._record(request, answer)
        except Exception as error:  # noqa: BLE001 - what cannot be recorded does not happen
            failure = AccessDenied(
                f"{request.action} was decided, but that could not be recorded, so it is refused: {error}"
            )
        if not answer.allowed:
            failure = AccessDenied(_refusal(request, answer))
        if question.settle is not None:
            question.settle(failure)

    def _withdrawn(self, request: Request) -> None:
        self._approver.withdraw(request)
        self._record(request, Answer(allowed=False, by="caller", note="the call was given up before anybody answered"))

    def _later(self, chore: Callable[[], None]) -> None:
        self._chores.put(chore)
        if self._worker is None:
            self._worker = threading.Thread(target=self._work, name="aios-access", daemon=True)
            self._worker.start()

    def _work(self) -> None:
        while (chore := self._chores.get()) is not None:
            try:
                chore()
            except Exception:  # noqa: BLE001, S112 - the call is gone; nobody is left to be told
                continue


def _refusal(request: Request, answer: Answer) -> str:
    by = f" by {answer.by}" if answer.by and answer.by != "nobody" else ""
    note = f": {answer.note}" if answer.note else ""
    return (
        f"agent {request.agent!r} may not {request.action} {request.target!a}: it needs approval ({request.why}), which was "
        f"refused{by}{note}"
    )
