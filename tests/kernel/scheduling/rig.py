"""A run queue on a mock clock, with everything that happens to it written down."""

from __future__ import annotations

import itertools
from collections import defaultdict
from typing import TYPE_CHECKING, Any

from aios_kernel.abi import Agent, Usage
from aios_kernel.clock import MockClock
from aios_kernel.process import Process
from aios_kernel.scheduling import FixedLimiter, Limiter, Outcome, Policy, RunQueue, State, Task
from aios_kernel.scheduling.policy import components
from aios_kernel.serial import Serial

if TYPE_CHECKING:
    from collections.abc import Callable


class CheckedLimiter(FixedLimiter):
    """A fixed limit that, whenever it lets a task start, asks whether the policy wanted just that one."""

    def __init__(self, limit: int | None) -> None:
        super().__init__(limit)
        self.check: Callable[[Task], None] | None = None

    def delay(self, task: Task, running: int, now: float) -> float:
        """Check the choice, then limit as usual."""
        delay = super().delay(task, running, now)
        if delay == 0 and self.check is not None:
            self.check(task)
        return delay


class Rig:
    """One queue and its world. `grants` is the order of grants; `charges` what the policy was charged, per pid."""

    def __init__(
        self, policy: Policy, limit: int | None = 1, *, limiter: Limiter | None = None, **options: Any
    ) -> None:
        self.clock = MockClock()
        self.limiter = limiter or CheckedLimiter(limit)
        self.events: list[tuple[str, Task | None]] = []
        self.grants: list[Task] = []
        self.tasks: list[Task] = []
        self.woken: defaultdict[Task, int] = defaultdict(int)
        self.processes: dict[str, Process] = {}
        self.charges: defaultdict[int, float] = defaultdict(float)
        self._seq = itertools.count(1)
        self.queue = RunQueue(
            "llm:test",
            self.spied(policy),
            serial=Serial(),
            clock=self.clock,
            limiter=self.limiter,
            emit=self._note,
            **options,
        )

    def spied(self, policy: Policy) -> Policy:
        """Write down what the policy is charged, from zero on."""
        charge = policy.charge
        charges = self.charges = defaultdict(float)

        def spy(task: Task, cost: float) -> None:
            charges[task.process.pid] += cost
            charge(task, cost)

        policy.charge = spy
        return policy

    def _note(self, name: str, task: Task | None, details: object) -> None:
        self.events.append((name, task))
        if name in ("grant", "resume") and task is not None:
            self.grants.append(task)

    def process(self, name: str, **settings: Any) -> Process:
        """The agent of that name; settings count when it is first named."""
        if name not in self.processes:
            self.processes[name] = Process(len(self.processes) + 1, Agent(name=name, **settings))
        return self.processes[name]

    def task(self, name: str = "a", cost: float = 1.0, *, timeout: float | None = None, **settings: Any) -> Task:
        """A task that is not submitted yet; its waiter is always there."""
        now = self.clock.now()
        deadline = None if timeout is None else now + timeout
        process = self.process(name, **settings)
        task = Task(next(self._seq), process, kind="llm", estimate=cost, arrived=now, deadline=deadline)

        def notify() -> bool:
            self.woken[task] += 1
            return True

        task.notify = notify
        self.tasks.append(task)
        return task

    def submit(self, name: str = "a", cost: float = 1.0, **settings: Any) -> Task:
        """Submit a new task."""
        task = self.task(name, cost, **settings)
        self.queue.submit(task)
        return task

    def finish(self, task: Task, cost: float | None = None) -> None:
        """Give the grant back, having used `cost` tokens (by default as many as estimated)."""
        used = round(task.estimate if cost is None else cost)
        self.queue.release(task, Outcome(usage=Usage(output_tokens=used)))

    def running(self) -> list[Task]:
        """Tasks that hold a grant, oldest grant first."""
        return [task for task in self.grants if task.state is State.RUNNING]

    def drain(self, most: int = 100_000) -> list[str]:
        """Finish whatever runs until nothing does; return the agents in order of grant from here on."""
        before = len(self.grants) - self.queue.running
        for _ in range(most):
            if not self.queue.running:
                break
            self.finish(next(task for task in reversed(self.grants) if task.state is State.RUNNING))
        return [task.process.name for task in self.grants[before:]]

    def check_choice(self, chosen: Task) -> None:
        """Compare the tree's choice with a plain scan: nobody who waits ranks before it."""
        policy, now = self.queue.policy, self.clock.now()
        mine = components(policy, chosen, chosen.path, now)
        for other in self.queue.tasks():
            if other is not chosen and other.state is State.WAITING and not other.process.paused:
                theirs = components(policy, other, other.path, now)
                assert not _before(other, theirs, chosen, mine), f"{other} ranks {theirs}, before {mine} of {chosen}"

    def check(self) -> None:
        """Hold the books against the states of all tasks ever submitted."""
        states = [task.state for task in self.tasks]
        assert self.queue.waiting == states.count(State.WAITING)
        assert self.queue.running == states.count(State.RUNNING)
        for process in self.processes.values():
            own = [task.state for task in self.tasks if task.process is process]
            assert (process.waiting, process.running) == (own.count(State.WAITING), own.count(State.RUNNING))
        for task in self.tasks:
            if task.state is State.RUNNING or (task.state is State.DONE and task.notify is not None):
                assert self.woken[task] >= 1, f"nobody woke {task}"

    def check_accounts(self) -> None:
        """The policy was charged, per agent, exactly what its tasks stand at."""
        for process in self.processes.values():
            charged = sum(task.charged for task in self.tasks if task.process is process)
            assert abs(self.charges[process.pid] - charged) < 1e-6 * max(1.0, abs(charged))


def _before(a: Task, ranks_a: tuple[Any, ...], b: Task, ranks_b: tuple[Any, ...]) -> bool:
    """Whether `a` must run before `b`: smaller at the first level at which they part or differ; ties are free there."""
    for depth, (mine, theirs) in enumerate(zip(ranks_a, ranks_b, strict=False)):
        if mine != theirs:
            return mine < theirs
        if a.path[depth : depth + 1] != b.path[depth : depth + 1]:
            return False
    return a.seq < b.seq
