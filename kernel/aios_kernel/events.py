"""The bus: every state change of a syscall is one event; trace, metrics and live views are subscribers."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from aios_kernel.logs import logger
from aios_kernel.serial import Serial

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

__all__ = ["Bus", "Event", "EventName"]

log = logger(__name__)

EventName = Literal[
    "submit",  # a syscall entered a run queue
    "grant",  # it may run; details: core, lease, overcommit
    "push_back",  # the endpoint refused the attempt; the call is back in its queue; details: status, retry_after
    "preempt",  # its turn is over, and it was put down with what it has written; it is back in its queue
    "resume",  # a call that was pushed back or put down has its turn again
    "first_token",
    "finish",  # details: usage
    "fail",  # details: error
    "cancel",
    "deny",
    "spawn",  # an agent entered the process table
    "exit",
    "kill",  # an agent was killed
    "pause",  # an agent's waiting calls are held
    "unpause",
    "priority",  # an agent's priority was set from outside; details: priority
    "error",  # something beside a syscall failed and was contained; details: where, error
]


@dataclass(frozen=True, slots=True)
class Event:
    """One state change.

    `time` is the kernel clock's, in seconds; `sid` numbers the syscall (0 for events of no syscall), `pid` the agent;
    `content` holds prompt, arguments and reply only where the kernel was told to record content.
    """

    name: EventName
    time: float
    sid: int = 0
    pid: int = 0
    agent: str = ""
    kind: str = ""
    label: str = ""
    resource: str = ""
    details: Mapping[str, Any] = field(default_factory=dict[str, Any])
    content: Any = None


class Bus:
    """Deliver events to subscribers, in order, one at a time; a subscriber that raises is removed and logged."""

    def __init__(self) -> None:
        self._subscribers: tuple[Callable[[Event], None], ...] = ()
        self._serial = Serial()

    def subscribe(self, subscriber: Callable[[Event], None]) -> Callable[[], None]:
        """Add a subscriber and return what removes it."""
        self._subscribers = (*self._subscribers, subscriber)
        return lambda: self._remove(subscriber)

    @property
    def active(self) -> bool:
        """Whether anybody listens; without, events need not be built."""
        return bool(self._subscribers)

    def emit(self, event: Event) -> None:
        """Deliver one event; never raises what a subscriber raises."""
        if self._subscribers:
            self._serial.post(self._deliver, event)

    def _deliver(self, event: Event) -> None:
        for subscriber in self._subscribers:
            try:
                subscriber(event)
            except Exception:
                self._remove(subscriber)
                log.exception("event subscriber %r raised on %r and was removed", subscriber, event.name)

    def _remove(self, subscriber: Callable[[Event], None]) -> None:
        self._subscribers = tuple(s for s in self._subscribers if s != subscriber)
