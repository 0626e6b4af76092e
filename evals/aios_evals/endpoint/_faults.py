"""Scripted faults: what goes wrong with a request, asked for by its model name, a header, or beforehand.

    fail-STATUS          an error reply                   STATUS-then-ok:N   the first N tries of a body fail
    bad-json             200 with broken JSON             truncated-stream   half of the reply, then a closed socket
    disconnect           a closed socket, no reply        hang               no reply until the client goes away
    slow:SECONDS         extra latency

A model is named after its fault (`hang`) or carries it as a suffix (`gpt-4o+hang`); the header is `x-aios-fault`.
"""

from __future__ import annotations

import re
from collections import Counter, deque
from dataclasses import dataclass, field

HEADER = "x-aios-fault"
_FAULT = re.compile(
    r"fail-(?P<fail>[45]\d\d)|(?P<retry>[45]\d\d)-then-ok:(?P<times>\d+)|slow:(?P<slow>\d+(?:\.\d+)?)"
    r"|bad-json|truncated-stream|disconnect|hang"
)


@dataclass(frozen=True)
class Fault:
    """One fault, ready to be acted out. `times` limits an error to the first tries of a body."""

    name: str
    status: int | None = None
    times: int | None = None
    delay: float = 0.0


OK = Fault("ok")


def parse_fault(text: str) -> Fault | None:
    """Read a fault's name; None for anything else."""
    match = _FAULT.fullmatch(text)
    if match is None:
        return None
    status = match["fail"] or match["retry"]
    times = int(match["times"]) if match["times"] else None
    return Fault(text, int(status) if status else None, times, float(match["slow"] or 0))


@dataclass
class Faults:
    """The faults still to come, and how often each counted one has struck."""

    planned: deque[Fault] = field(default_factory=deque[Fault])
    tries: Counter[str] = field(default_factory=Counter[str])

    def plan(self, name: str, times: int = 1) -> None:
        """Let the next `times` requests fail so."""
        fault = parse_fault(name)
        if fault is None:
            raise ValueError(f"unknown fault {name!r}")
        self.planned.extend([fault] * times)

    def pick(self, model: str, headers: dict[str, str], digest: str) -> Fault:
        """Return what happens to this request: the planned fault, else its header's, else its model's."""
        if self.planned:
            return self.planned.popleft()
        suffix = model.rpartition("+")[2]
        fault = parse_fault(headers.get(HEADER, "")) or parse_fault(suffix) or OK
        if fault.times is None:
            return fault
        self.tries[digest] += 1
        return fault if self.tries[digest] <= fault.times else OK
