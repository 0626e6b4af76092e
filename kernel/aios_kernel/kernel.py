"""The kernel: it wires agents, queues, cores and events together behind the gate, and does nothing by itself."""

from __future__ import annotations

import atexit
import contextlib
import fnmatch
import itertools
import os
import threading
import weakref
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, cast

from aios_kernel.abi import Agent, Call, LLMCall, Reply, ToolCall
from aios_kernel.budgets import Budgets
from aios_kernel.clock import Clock, SystemClock
from aios_kernel.cores.endpoint import EndpointCore
from aios_kernel.cores.endpoint_limiter import EndpointLimiter
from aios_kernel.errors import (
    AccessDenied,
    BudgetExceeded,
    ConfigError,
    CoreError,
    KernelClosed,
    SyscallError,
    UnknownName,
)
from aios_kernel.events import Bus, Event
from aios_kernel.grants import EmbeddedGrant, EmbeddedSyscall
from aios_kernel.holds import Hold, chained
from aios_kernel.identity import Caller, open_tasks
from aios_kernel.process import ROOT, Process, ProcessTable
from aios_kernel.router import Router
from aios_kernel.scheduling import FixedLimiter, Limiter, Outcome, Policy, RunQueue, State, Task
from aios_kernel.scheduling.limiter import Both
from aios_kernel.scheduling.policies.classes import Classes
from aios_kernel.scheduling.registry import policy as make_policy
from aios_kernel.serial import Serial

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from aios_kernel.budgets import Charge
    from aios_kernel.cores.base import Core
    from aios_kernel.events import EventName
    from aios_kernel.managers.base import Manager

__all__ = ["Kernel", "KernelStatus"]

NEAREST = 10  # pids that are named to who asks for one that is not there
LIMITS = {"in_flight", "rpm", "tpm", "window"}


@dataclass(frozen=True, slots=True)
class KernelStatus:
    """A kernel at one moment: granted syscalls by kind, its resources, agents and budgets, as plain data."""

    syscalls: dict[str, int] = field(default_factory=dict[str, int])
    resources: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])
    agents: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])
    budgets: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])


class Kernel:
    """An operating-system kernel for agents, embedded in this process; it implements `aios_kernel.gate.Gate`.

    `policy` orders every resource, `policies` maps resource patterns ("llm:*", "tool:search") to others; a spec makes one
    policy per resource, an object is shared, and its accounts with it. `llm` says
    which cores serve which models (see `Router`). `limits` maps resource patterns to {"in_flight", "rpm", "tpm"}
    (and "window", the seconds that the two rates are for, 60).
    `max_waiting` bounds each run queue. `checks` are called with each call and its process and raise `AccessDenied`
    to refuse it, or return a `Hold` for it to wait for; one that raises or returns anything else refuses too. `managers` serve the calls of the kinds they name. With `record_content`, "submit" events carry the call and
    "finish" events the reply of a served one.
    `budgets` bound what agents, groups and all together may use, at `prices` (see `Budgets`).
    Raises `ConfigError` for what does not exist. Thread-safe; `close()` wakes every waiter.
    """

    def __init__(
        self,
        *,
        policy: Policy | str = "fifo",
        policies: Mapping[str, Policy | str] | None = None,
        llm: Core | str | Mapping[str, Core | str] | None = None,
        limits: Mapping[str, Mapping[str, float]] | None = None,
        max_waiting: int | None = None,
        managers: Iterable[Manager] = (),
        checks: tuple[Callable[[Call, Process], Hold | None], ...] = (),
        record_content: bool = False,
        budgets: Mapping[str, Mapping[str, Any]] | None = None,
        prices: Mapping[str, Any] | None = None,
        clock: Clock | None = None,
    ) -> None:
        self.budgets = Budgets(budgets, prices) if budgets else None
        self.checks = list(checks)
        self.managers = tuple(managers)
        self.record_content = record_content
        self._own_clock = clock is None
        self._policy, self._policies = policy, dict(policies or {})
        self._limits = _checked_limits(limits or {})
        self._max_waiting = max_waiting
        for spec in (policy, *self._policies.values()):
            make_policy(spec)  # a wrong name fails here, not at the first call
        self._start(llm, clock or SystemClock())
        _kernels.add(self)

    def _start(self, llm: Core | str | Mapping[str, Core | str] | None, clock: Clock) -> None:
        """Set up what belongs to one life in one process."""
        self.closed = False
        self.bus = Bus()
        self.clock = clock
        self.processes = ProcessTable()
        self._serial = Serial()
        self._lock = threading.RLock()
        self._queues: dict[str, RunQueue] = {}
        self._served: set[str] = set()
        self._sids = itertools.count(1)
        self.router = Router(llm, self._endpoint_core, self._attach)
        for manager in self.managers:
            manager.bind(self)

    def renew(self) -> None:
        """Begin afresh in a forked child: no agents, no calls, no subscribers; the cores keep what they have loaded.

        The parent's threads, locks and half-done calls do not exist here; its trace file is not this process's to write.
        """
        if self.closed:
            return
        for core in (*self.router.served, *self.managers):
            core.after_fork()
        if self.budgets is not None:
            self.budgets = self.budgets.renew()
        open_tasks.set(())
        self._start(self.router.routes, SystemClock() if self._own_clock else self.clock)

    # The gate ------------------------------------------------------------------------------------------------------

    def syscall(self, call: Call) -> EmbeddedSyscall:
        """Prepare the entry for one call, for `with` or `async with`; nothing happens before it is entered."""
        return EmbeddedSyscall(self, call)

    def status(self) -> KernelStatus:
        """Describe queues, agents and syscalls so far."""
        syscalls = dict(self.processes.gone)
        for process in self.processes:
            for kind, count in process.syscalls.items():
                syscalls[kind] = syscalls.get(kind, 0) + count
        queues = list(self._queues.values())
        budgets = [] if self.budgets is None else self.budgets.status(self.clock.now())
        return KernelStatus(syscalls, [queue.status() for queue in queues], [_row(p) for p in self.processes], budgets)

    @property
    def running(self) -> int:
        """Calls that hold a grant."""
        return sum(queue.running for queue in list(self._queues.values()))

    def drain(self) -> None:
        """Grant nothing more: every waiter and every later call gets `KernelClosed`; what runs goes on. Idempotent."""
        self.closed = True
        error = KernelClosed("the kernel was closed before the call was granted")
        with self._lock:
            queues = list(self._queues.values())
        for queue in queues:
            queue.close(error)

    def close(self) -> None:
        """Shut down: wake every waiter with `KernelClosed`, stop the cores; idempotent."""
        self.drain()
        with self._lock:
            cores = [*self.router, *self.managers]
        for core in cores:
            core.close()
        if self._own_clock:
            self.clock.close()

    # For adapters and people ---------------------------------------------------------------------------------------

    def spawn(self, agent: Agent) -> Process:
        """Enter an agent in the process table, or find it there; a killed one begins anew, with a new pid."""
        return self._told(*self.processes.respawn(agent, self.clock.now()))

    def kill(self, pid: int) -> Process:
        """End an agent: its waiting and served calls fail with `AgentKilled`, and so does each later one.

        A leased call that runs ends by itself. The agent lives again once it is spawned anew. Raises `UnknownName`.
        """
        return self._decide(pid, "kill", killed=True)

    def pause(self, pid: int) -> Process:
        """Grant no more calls to an agent until `resume`; what runs goes on. Raises `UnknownName`."""
        return self._decide(pid, "pause", paused=True)

    def resume(self, pid: int) -> Process:
        """Let a paused agent's calls back in line, at their old places. Raises `UnknownName`."""
        return self._decide(pid, "unpause", paused=False)

    def set_priority(self, pid: int, priority: int) -> Process:
        """Set an agent's priority over its own, for waiting calls too; 1 is the most urgent. Raises `ConfigError`."""
        process = self._alive(pid)
        try:
            self.processes.pin(process, priority)
        except ValueError as error:
            raise ConfigError(str(error)) from None
        self._review(process, "priority", {"priority": priority})
        return process

    def exit(self, agents: Iterable[Agent]) -> None:
        """Take agents that are gone out of the process table; one with open calls stays."""
        # Behind what was posted before: the end of their last calls.
        self._serial.post(self._exit, tuple(agents))

    def _exit(self, agents: tuple[Agent, ...]) -> None:
        for agent in agents:
            process = self.processes.leave(agent)
            if process is not None:
                self._emit_event("exit", process=process)

    def queue(self, resource: str) -> RunQueue:
        """The run queue of a resource, made when it is first asked for."""
        found = self._queues.get(resource)
        return found if found is not None else self._make_queue(resource, self._limiter(resource))

    def use_policy(self, policy: Policy | str, resource: str | None = None) -> None:
        """Put another policy in charge of one resource, or of all that exist and are to come."""
        make_policy(policy)
        if resource is None:
            self._policy = policy
            self._policies.clear()
        else:
            # The first pattern that fits counts: the latest word goes before those said earlier.
            self._policies = {resource: policy, **{key: v for key, v in self._policies.items() if key != resource}}
        for name, queue in list(self._queues.items()):
            if resource is None or self._fits(name, resource):
                queue.use(make_policy(policy))

    def _alive(self, pid: int) -> Process:
        process = self.processes.get(pid)
        if process is None:
            alive = sorted((one.pid for one in self.processes if not one.killed), key=lambda one: abs(one - pid))
            more = f"{len(alive)} agents live in all." if len(alive) > NEAREST else ""
            raise UnknownName("pid", pid, map(str, alive[:NEAREST]), more)
        if process.killed:
            raise ConfigError(f"agent {process.name!r} (pid {pid}) was killed already")
        return process

    def _decide(self, pid: int, name: EventName, **decision: bool) -> Process:
        process = self._alive(pid)
        if any(getattr(process, key) is not value for key, value in decision.items()):
            for key, value in decision.items():
                setattr(process, key, value)
            self._review(process, name, {})
        return process

    def _review(self, process: Process, name: EventName, details: Mapping[str, Any]) -> None:
        self._emit_event(name, process=process, details=details)
        for queue in list(self._queues.values()):
            queue.review(process)

    def _told(self, process: Process, new: bool) -> Process:
        if new:
            about = {"framework": process.agent.framework, "group": process.group}
            self._emit_event("spawn", process=process, details=about)
        return process

    def policy_names(self) -> dict[str, str]:
        """The policies asked for, by resource pattern, the first that fits counting; "*" is the default."""
        specs = {**self._policies}
        specs.setdefault("*", self._policy)
        return {key: spec if isinstance(spec, str) else spec.name or repr(spec) for key, spec in specs.items()}

    # For the grants ------------------------------------------------------------------------------------------------

    def admit(self, call: Call, caller: Caller | None = None) -> EmbeddedGrant:
        """Check a call and make its task, for this context or for a caller elsewhere; raises what refuses it."""
        if self.closed:
            message = "the kernel is closed: call aios_adapters.enable() again, or make a new Kernel"
            raise KernelClosed(message)
        caller = caller or Caller.here()
        process = self._told(*self.processes.enter(call.agent or caller.agent or ROOT, self.clock.now()))
        if process.killed:
            raise process.death()
        hold = self._check(call, process)
        core = self._core_for(call)
        # Before the queue is made: a call that cannot be served leaves none behind.
        estimate, demand = _prepared(core, call)
        queue = core.queue if core is not None and core.queue is not None else self.queue(_resource(call))
        now = self.clock.now()
        charge = self._charge(call, process, now)  # last of what may refuse: what is held has a task to give it back
        task = Task(
            next(self._sids),
            process,
            kind=call.kind,
            label=call.label,
            estimate=estimate,
            arrived=now,
            deadline=None if call.timeout is None else now + call.timeout,
            demand=demand,
            ancestors=_ancestors(caller, queue),
            loop_id=caller.loop_id,
            resource=queue.name,
            content=call if self.record_content else None,
            hold=hold,
        )
        if process.agent.policy is not None and not isinstance(queue.policy, Classes):
            queue.use(Classes(queue.policy))
        return EmbeddedGrant(self, call, task, queue, core, charge)

    def vet(self, call: Call) -> None:
        """Raise what refuses a call that somebody else has the answer of; nothing is queued, held or counted."""
        process = self._told(*self.processes.enter(call.agent or Caller.here().agent or ROOT, self.clock.now()))
        if process.killed:
            raise process.death()
        self._check(call, process)

    def start(self, grant: EmbeddedGrant) -> None:
        """Have the core serve a granted call; whatever goes wrong ends the job with an error."""
        job, core, task = grant.job, grant.core, grant.task
        if job is None or core is None:
            return
        queue = grant.queue
        if task.state is State.DONE:  # it failed, perhaps while it waited for another turn
            job.fail(task.error or CoreError("the call ended before it was served"))
            return
        if job.started == task.attempts:  # after an interrupt the scheduler may tell of one grant twice
            return
        job.started = task.attempts

        def ended(outcome: Outcome, reply: Reply | None) -> None:
            task.content = reply if self.record_content else None
            if grant.charge is not None:
                grant.charge.end(outcome.usage, outcome.error)
            queue.release(task, outcome)

        job.watch(lambda: self.emit(queue, "first_token", task, {}), ended)
        try:
            core.start(job)
        except Exception as error:  # noqa: BLE001 - a core may be anybody's; failures are replies
            failure = error if isinstance(error, SyscallError) else CoreError(f"core {core.name!r} raised {error!r}")
            failure.__cause__ = None if failure is error else error
            job.fail(failure)

    def emit(self, queue: RunQueue, name: EventName, task: Task | None, details: Mapping[str, Any]) -> None:
        """Publish one change of a task, if anybody listens."""
        if not self.bus.active:
            return
        if task is None:
            self._emit_event(name, resource=queue.name, details=details)
            return
        self.bus.emit(
            Event(
                name=name,
                time=self.clock.now(),
                sid=task.seq,
                pid=task.process.pid,
                agent=task.process.name,
                kind=task.kind,
                label=task.label,
                resource=queue.name,
                details=details,
                content=task.content if name in {"submit", "finish"} else None,
            )
        )

    def _core_for(self, call: Call) -> Core | None:
        if not isinstance(call, LLMCall):
            return next((manager for manager in self.managers if manager.takes(call)), None)
        try:
            return self.router.core_for(call)
        except SyscallError:
            raise
        except Exception as error:
            message = f"no core could be chosen for {call.label!r}: {error!r}"
            raise CoreError(message) from error

    # Wiring --------------------------------------------------------------------------------------------------------

    def _charge(self, call: Call, process: Process, now: float) -> Charge | None:
        """Hold what the call may use of its agent's budgets; do to the agent what its budget says."""
        if self.budgets is None:
            return None
        try:
            charge, decision = self.budgets.admit(call, process, now)
        except BudgetExceeded as error:
            self._emit_event("deny", process=process, kind=call.kind, label=call.label, details={"error": error})
            if error.kill:
                with contextlib.suppress(ConfigError):  # another of its calls was there first
                    self.kill(process.pid)
            raise
        if decision == "pause":
            with contextlib.suppress(ConfigError):
                self.pause(process.pid)
        return charge

    def _check(self, call: Call, process: Process) -> Hold | None:
        holds: list[Hold] = []
        for check in self.checks:
            try:
                answer = check(call, process)
                if answer is not None:
                    holds.append(_hold(answer))
            except Exception as error:
                self._emit_event("deny", process=process, kind=call.kind, label=call.label, details={"error": error})
                if isinstance(error, AccessDenied):
                    raise
                message = (
                    f"the access check of {call.label!r} for agent {process.name!r} failed, so it is refused: {error!r}"
                )
                raise AccessDenied(message) from error
        return chained(holds)

    def _endpoint_core(self, endpoint: str, model: str) -> Core:
        name = f"llm:{endpoint or 'default'}:{model}" if model else f"llm:{endpoint or 'default'}"
        return EndpointCore(endpoint, model, name=name, **self._limits_of(name))

    def _attach(self, core: Core) -> None:
        limiter = core.limiter
        if not isinstance(core, EndpointCore):  # that one was made with its limits
            self._served.add(core.name)
            limits = self._limits_of(core.name)
            limiter = Both(limiter, EndpointLimiter(**limits)) if limits else limiter
        core.attach(self._make_queue(core.name, limiter))

    def _make_queue(self, resource: str, limiter: Limiter) -> RunQueue:
        with self._lock:
            if resource not in self._queues:
                queue = RunQueue(
                    resource,
                    make_policy(self._policy_of(resource)),
                    serial=self._serial,
                    clock=self.clock,
                    limiter=limiter,
                    max_waiting=self._max_waiting,
                    emit=lambda name, task, details: self.emit(queue, name, task, details),
                )
                self._queues[resource] = queue
            return self._queues[resource]

    def _policy_of(self, resource: str) -> Policy | str:
        for pattern, policy in self._policies.items():
            if self._fits(resource, pattern):
                return policy
        return self._policy

    def _fits(self, resource: str, pattern: str) -> bool:
        """Whether a pattern means a resource: a core that serves has a name of its own, and is an "llm:NAME" too."""
        served = resource in self._served and fnmatch.fnmatchcase(f"llm:{resource}", pattern)
        return served or fnmatch.fnmatchcase(resource, pattern)

    def _limits_of(self, resource: str) -> dict[str, Any]:
        for pattern, limits in self._limits.items():
            if self._fits(resource, pattern):
                return dict(limits)
        return {}

    def _limiter(self, resource: str) -> Limiter:
        limits = [self._limits_of(resource).get("in_flight"), *(one.limit_of(resource) for one in self.managers)]
        return FixedLimiter(min((int(limit) for limit in limits if limit is not None), default=None))

    def _emit_event(self, name: EventName, *, process: Process | None = None, **fields: Any) -> None:
        if self.bus.active:
            who = {} if process is None else {"pid": process.pid, "agent": process.name}
            self.bus.emit(Event(name=name, time=self.clock.now(), **who, **fields))


def _hold(answer: object) -> Hold:
    if not isinstance(answer, Hold):
        raise TypeError(f"a check returns None or a Hold, or raises; not {answer!r}")
    return answer


def _checked_limits(limits: Mapping[str, Mapping[str, float]]) -> dict[str, dict[str, float]]:
    for pattern, values in limits.items():
        for key, value in values.items():
            if key not in LIMITS:
                raise UnknownName(f"limit of {pattern!r}", key, LIMITS)
            if value is not None and value < 1:  # pyright: ignore[reportUnnecessaryComparison]
                message = f"limit {key} of {pattern!r} is {value}: use 1 or more"
                raise ConfigError(message)
    return {pattern: dict(values) for pattern, values in limits.items()}


def _prepared(core: Core | None, call: Call) -> tuple[float, Any]:
    """What the call is expected to cost, and what the core made of it."""
    if core is None:
        return call.estimate, None
    try:
        return core.estimate(call), core.prepare(cast("LLMCall", call))  # a manager gets the calls of its own kinds
    except CoreError as error:
        error.taken = False
        raise
    except SyscallError:
        raise
    except Exception as error:
        message = f"core {core.name!r} cannot take the call: {error!r}"
        raise CoreError(message) from error


def _ancestors(caller: Caller, queue: RunQueue) -> tuple[Task, ...]:
    inside = (one for one in caller.inside if isinstance(one, Task) and one.state is State.RUNNING)
    return tuple(task for task in inside if task.resource == queue.name)


def _resource(call: Call) -> str:
    """Tools have a queue each, so that one which is limited does not hold up the others."""
    return f"tool:{call.name}" if isinstance(call, ToolCall) else call.kind


_kernels: weakref.WeakSet[Kernel] = weakref.WeakSet()


def _close_all() -> None:
    for kernel in list(_kernels):
        kernel.close()


def _renew_all() -> None:
    for kernel in list(_kernels):
        kernel.renew()


atexit.register(_close_all)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_renew_all)


def _row(process: Process) -> dict[str, Any]:
    return {
        "pid": process.pid,
        "name": process.name,
        "state": process.state,
        "priority": process.priority,
        "framework": process.agent.framework,
        "group": process.group,
        "syscalls": dict(process.syscalls),
        "input_tokens": process.usage.input_tokens,
        "output_tokens": process.usage.output_tokens,
        "waited": process.waited,
        "ran": process.ran,
        "waiting": process.waiting,
        "running": process.running,
        "failed": process.failed,
    }
