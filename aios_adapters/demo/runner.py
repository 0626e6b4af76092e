"""Run the agents of the demonstration, all at once, and account for each: one thread per agent, failures contained."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

import aios_adapters
from aios_adapters.demo.tasks import Task, draw_tasks
from aios_kernel.abi import Usage
from aios_kernel.errors import ConfigError
from aios_kernel.tools import Toolbox

if TYPE_CHECKING:
    from aios_adapters.demo.programs import Program, Run
    from aios_kernel.events import Event
    from aios_kernel.kernel import Kernel
    from aios_kernel.process import Process

__all__ = ["AgentRun", "Arm", "Count", "run_arm"]

Outcome = Literal["", "ok", "wrong", "failed", "interrupted"]
TICK = 0.1  # seconds between two looks at the agents
GRACE = 3.0  # seconds for agents to end after their kernel has been closed


@dataclass(slots=True, eq=False)
class AgentRun:
    """One agent at work, and how it went; `outcome` is "" until it has ended."""

    name: str
    program: Program
    task: Task
    toolbox: Toolbox = field(default_factory=Toolbox)
    outcome: Outcome = ""
    answer: str = ""
    error: str = ""
    started: float = 0.0
    ended: float = 0.0

    @property
    def turnaround(self) -> float:
        """Seconds from start to end."""
        return max(0.0, self.ended - self.started)


@dataclass(slots=True)
class Count:
    """What the kernel knows of an agent, or of several together; times in seconds."""

    calls: int = 0
    tools: int = 0
    usage: Usage = field(default_factory=Usage)
    waited: float = 0.0
    ran: float = 0.0
    waiting: int = 0
    running: int = 0

    def add(self, process: Process) -> None:
        """Add one process."""
        self.calls += process.syscalls.get("llm", 0)
        self.tools += process.syscalls.get("tool", 0)
        self.usage += process.usage
        self.waited += process.waited
        self.ran += process.ran
        self.waiting += process.waiting
        self.running += process.running


@dataclass(slots=True, eq=False)
class Arm:
    """One way to run the agents, and what came of it."""

    kernel: Kernel
    model: str
    runs: list[AgentRun]
    events: list[Event] = field(default_factory=list["Event"])
    started: float = 0.0
    ended: float = 0.0
    #: Seconds that calls waited where the kernel could not see it; None: the kernel's own account holds.
    hidden_waits: list[float] | None = None

    @property
    def seconds(self) -> float:
        """From the first agent's start to the last one's end, or to now."""
        return (self.ended or time.monotonic()) - self.started if self.started else 0.0

    @property
    def ok(self) -> bool:
        """Whether every agent solved its task."""
        return all(run.outcome == "ok" for run in self.runs)

    def count(self, run: AgentRun | None = None) -> Count:
        """What one agent, or all of them, did so far. Members of a team count for their team."""
        total = Count()
        names = {one.name for one in self.runs} if run is None else {run.name}
        for process in self.kernel.processes:
            if process.group in names:
                total.add(process)
        return total

    def row_names(self) -> dict[int, str]:
        """How each process is called in the timeline: by its agent, and in a team by its member too."""
        members: dict[str, list[Process]] = {run.name: [] for run in self.runs}
        for process in self.kernel.processes:
            members.setdefault(process.group, []).append(process)
        return {
            process.pid: group if len(team) == 1 or process.name == group else f"{group}: {process.name}"
            for group, team in members.items()
            if group
            for process in team
        }


def make_runs(programs: Sequence[Program], count: int, seed: int) -> list[AgentRun]:
    """Give every agent a program, in turn, and a task."""
    tasks = draw_tasks(count, seed)
    chosen = [programs[number % len(programs)] for number in range(count)]
    return [
        AgentRun(f"{program.framework}-{number // len(programs) + 1}", program, tasks[number])
        for number, program in enumerate(chosen)
    ]


def run_arm(arm: Arm, *, trace: str | None = None, tick: Callable[[Arm], object] = id) -> None:
    """Put the kernel under the programs, run the agents to their end and take everything back.

    `tick` is called in this thread ten times a second. Ctrl-C ends every agent and is raised again. The kernel is
    closed in any case.
    """
    programs = {run.program.framework: run.program.load() for run in arm.runs}
    unsubscribe = arm.kernel.bus.subscribe(arm.events.append)
    threads = [_thread(run, programs[run.program.framework], arm.model) for run in arm.runs]
    try:
        if not aios_adapters.enable(kernel=arm.kernel, only=(), exclude=(), trace=trace).enabled:
            raise ConfigError("AIOS_DISABLE is set, so there is no kernel to show: unset it")
        arm.started = time.monotonic()
        for thread in threads:
            thread.start()
        _watch(arm, threads, tick)
    finally:
        _end(arm, threads)
        unsubscribe()


def _watch(arm: Arm, threads: Sequence[threading.Thread], tick: Callable[[Arm], object]) -> None:
    while any(thread.is_alive() for thread in threads):
        for thread in threads:
            if thread.is_alive():
                thread.join(TICK)
                break
        tick(arm)
    arm.ended = max(run.ended for run in arm.runs)


def _end(arm: Arm, threads: Sequence[threading.Thread]) -> None:
    """Close the kernel, which wakes whoever waits for it, and let the agents end."""
    for run in arm.runs:
        run.outcome = run.outcome or "interrupted"
    arm.kernel.close()
    deadline = time.monotonic() + GRACE
    for thread in threads:
        if thread.ident is not None:
            thread.join(max(0.0, deadline - time.monotonic()))
    # Last: a native call in the place of a refused one would go to the network.
    aios_adapters.disable()


def _thread(run: AgentRun, program: Run, model: str) -> threading.Thread:
    return threading.Thread(target=_work, args=(run, program, model), name=run.name, daemon=True)


def _work(run: AgentRun, program: Run, model: str) -> None:
    """Run one agent and check its task; whatever it raises is its outcome."""
    run.started = time.monotonic()
    try:
        run.task.prepare(run.toolbox)
        # The group keeps a team's members together; the program itself knows nothing of this.
        with aios_adapters.agent(run.name, group=run.name):
            run.answer = program(run.task.question, run.toolbox.functions(), model=model)
        outcome: Outcome = "ok" if run.task.check(run.toolbox, run.answer) else "wrong"
    except BaseException as error:  # noqa: BLE001 - the other agents go on
        outcome, run.error = "failed", f"{type(error).__name__}: {error}"
    run.ended = time.monotonic()
    run.outcome = run.outcome or outcome
