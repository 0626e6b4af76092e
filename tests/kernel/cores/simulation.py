"""Endpoints and agents in virtual time: a real run queue and limiter, a mock clock, no sockets and no sleep."""

from __future__ import annotations

import itertools
import random
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

from aios_kernel.abi import Agent, Usage
from aios_kernel.clock import MockClock
from aios_kernel.cores.endpoint_limiter import EndpointLimiter
from aios_kernel.process import Process
from aios_kernel.scheduling.limiter import Outcome
from aios_kernel.scheduling.policies.fifo import Fifo
from aios_kernel.scheduling.queue import RunQueue
from aios_kernel.scheduling.task import State, Task
from aios_kernel.serial import Serial


@dataclass
class Bucket:
    """An allowance of `limit` per `window` that refills evenly, as the endpoint counts it."""

    limit: float
    window: float
    level: float = 0.0
    updated: float = 0.0

    def __post_init__(self) -> None:
        self.level = self.limit

    def take(self, amount: float, now: float) -> bool:
        self.level = min(self.limit, self.level + (now - self.updated) * self.limit / self.window)
        self.updated = now
        if self.level + 1e-9 < amount:
            return False
        self.level -= amount
        return True


@dataclass
class Windowed:
    """An allowance of `limit` per calendar window: all of it again when the next one begins."""

    limit: float
    window: float
    used: float = 0.0
    number: int = -1

    def take(self, amount: float, now: float) -> bool:
        if (number := int(now // self.window)) != self.number:
            self.number, self.used = number, 0.0
        if self.used + amount > self.limit:
            return False
        self.used += amount
        return True


@dataclass
class SimulatedEndpoint:
    """Serve `capacity` calls at once for `latency` seconds each; refuse or queue the rest.

    Replies take `lag` seconds to be noticed by the client, refusals too (one after the other, `work` seconds of CPU
    apiece), so that a burst of refusals and the first successes mix as they do in life.
    """

    clock: MockClock
    capacity: int | None = None
    latency: float = 0.05
    queues: bool = False
    retry_after: float | None = None
    requests: Bucket | Windowed | None = None
    tokens: Bucket | Windowed | None = None
    lag: float = 0.001
    work: float = 0.0005
    jitter: random.Random | None = None
    serving: int = 0
    served: int = 0
    refused: list[tuple[float, Task]] = field(default_factory=list)
    sent: list[tuple[float, Task]] = field(default_factory=list)
    _line: deque[Callable[[], None]] = field(default_factory=deque)
    _client_free: float = 0.0

    def send(self, task: Task, tokens: float, answer: Callable[[bool], None]) -> None:
        """Take a request; `answer(True)` or, when refused, `answer(False)` follows."""
        now = self.clock.now()
        self.sent.append((now, task))
        if self._refuses(tokens, now):
            self.refused.append((now, task))
            self._deliver(lambda: answer(False))
        elif self.capacity is not None and self.serving >= self.capacity:
            self._line.append(lambda: self._serve(answer))
        else:
            self._serve(answer)

    def _refuses(self, tokens: float, now: float) -> bool:
        if not self.queues and self.capacity is not None and self.serving >= self.capacity:
            return True
        if self.requests is not None and not self.requests.take(1.0, now):
            return True
        return self.tokens is not None and not self.tokens.take(tokens, now)

    def _serve(self, answer: Callable[[bool], None]) -> None:
        self.serving += 1
        spread = 1.0 if self.jitter is None else self.jitter.uniform(0.5, 1.5)
        self.clock.call_at(self.clock.now() + self.latency * spread, lambda: self._end(answer))

    def _end(self, answer: Callable[[bool], None]) -> None:
        self.serving -= 1
        self.served += 1
        if self._line:
            self._line.popleft()()
        self._deliver(lambda: answer(True))

    def _deliver(self, answer: Callable[[], None]) -> None:
        self._client_free = max(self._client_free, self.clock.now() + self.lag) + self.work
        self.clock.call_at(self._client_free, answer)


@dataclass
class Simulation:
    """`agents` make `calls` calls each, one after the other, through one run queue."""

    endpoint: SimulatedEndpoint
    limiter: EndpointLimiter
    agents: int = 250
    calls: int = 3
    estimate: float = 100.0
    used: float = 100.0
    attempts: int = 0
    finished: int = 0
    failed: int = 0
    ended: float = 0.0
    turnaround: list[float] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.clock = self.endpoint.clock
        self.queue = RunQueue("llm", Fifo(), serial=Serial(), clock=self.clock, limiter=self.limiter)
        self._seq = itertools.count(1)

    def run(self, limit: float = 3600.0) -> Simulation:
        """Run to the end, or for `limit` virtual seconds."""
        for pid in range(self.agents):
            self._call(Process(pid, Agent(name=f"a{pid}")), self.calls)
        while self.finished < self.agents * self.calls and (due := self.clock.next_timer()) is not None and due < limit:
            self.clock.advance(due - self.clock.now())
        return self

    def _call(self, process: Process, left: int) -> None:
        if left == 0:
            return
        task = Task(next(self._seq), process, kind="llm", estimate=self.estimate, arrived=self.clock.now())
        task.notify = lambda: self._granted(task, left)
        self.queue.submit(task)

    def _granted(self, task: Task, left: int) -> bool:
        if task.state is State.DONE:
            self.failed += 1
            return True
        self.attempts += 1
        self.endpoint.send(task, self.used, lambda served: self._answered(task, left, served=served))
        return True

    def _answered(self, task: Task, left: int, *, served: bool) -> None:
        if not served:
            self.queue.push_back(task, Outcome(pushed_back=True, status=429, retry_after=self.endpoint.retry_after))
            return
        self.finished += 1
        self.ended = self.clock.now()
        self.turnaround.append(self.ended - task.arrived)
        self.queue.release(task, Outcome(usage=Usage(input_tokens=int(self.used))))
        self._call(task.process, left - 1)
