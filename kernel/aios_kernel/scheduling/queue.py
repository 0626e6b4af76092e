"""A run queue: the calls of one resource, granted in the policy's order as its limiter allows.

All state below is touched only from functions that run on the kernel's `Serial`, one at a time and idempotent; the
public methods only post. So no caller ever waits for a lock, and a finaliser may give a grant back at any moment.
"""

from __future__ import annotations

import logging
import math
from collections import Counter
from typing import TYPE_CHECKING, Any

from aios_kernel.errors import CoreError, DeadlineExceeded, PolicyError, QueueFull
from aios_kernel.scheduling.limiter import NOW, WHEN_RELEASED, FixedLimiter, Limiter, Outcome
from aios_kernel.scheduling.task import State, Task
from aios_kernel.scheduling.tree import RankTree

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from aios_kernel.clock import Clock, Timer
    from aios_kernel.events import EventName
    from aios_kernel.scheduling.policy import Policy
    from aios_kernel.serial import Serial

__all__ = ["RunQueue"]

log = logging.getLogger(__name__)
MAX_SLEEP = 3600.0  # a limiter that asks for more is asked again after this


def _ending(outcome: Outcome) -> EventName:
    if outcome.error is None:
        return "finish"
    # Only Exception is a failure of the call; the rest (CancelledError, KeyboardInterrupt, GeneratorExit) is leaving.
    return "fail" if isinstance(outcome.error, Exception) else "cancel"


def _details(outcome: Outcome) -> dict[str, Any]:
    return {"usage": outcome.usage} if outcome.error is None else {"usage": outcome.usage, "error": outcome.error}


def _ignore(name: EventName, task: Task | None, details: dict[str, Any]) -> None:
    del name, task, details


class RunQueue:
    """Hold the waiting and running tasks of one resource.

    `emit(name, task, details)` reports each change; `max_waiting` bounds the queue (None: unbounded). A task is owned
    by the queue from `submit` until it is DONE; its `notify` is called exactly when it is granted or has failed.
    """

    def __init__(  # noqa: PLR0913 - the kernel wires these once
        self,
        name: str,
        policy: Policy,
        *,
        serial: Serial,
        clock: Clock,
        limiter: Limiter | None = None,
        max_waiting: int | None = None,
        emit: Callable[[EventName, Task | None, dict[str, Any]], None] = _ignore,
    ) -> None:
        self.name = name
        self.limiter: Limiter = limiter or FixedLimiter()
        self.max_waiting = max_waiting
        self.granted = self.succeeded = self.pushed_back = self.overcommitted = 0
        self._tree = RankTree(policy)
        self._running: dict[Task, None] = {}
        self._granting: Task | None = None
        self._loops: Counter[int] = Counter()
        self._serial, self._clock, self._emit = serial, clock, emit
        self._timer: Timer | None = None
        self._closed: BaseException | None = None

    # What callers post ---------------------------------------------------------------------------------------------

    def submit(self, task: Task) -> None:
        """Queue the task, or grant it at once; either way its `notify` tells."""
        self._serial.post(self._submit, task)

    def cancel(self, task: Task, error: BaseException | None = None) -> None:
        """Take a waiting task out, or end a running one, without waking anybody."""
        self._serial.post(self._cancel, task, error)

    def release(self, task: Task, outcome: Outcome) -> None:
        """Give the grant back; a second release of the same task does nothing."""
        self._serial.post(self._release, task, outcome)

    def push_back(self, task: Task, outcome: Outcome) -> None:
        """End a refused attempt and queue the task again at its old place; `notify` tells when its turn comes."""
        self._serial.post(self._push_back, task, outcome)

    def charge(self, task: Task, cost: float) -> None:
        """Charge a running task for service, as a core that meters by itself does."""
        self._serial.post(self._charge, task, cost)

    def poke(self) -> None:
        """Look again whether the next task may start, after a limit changed."""
        self._serial.post(self._pump)

    def order(self, tasks: Iterable[Task], reply: Callable[[list[Task]], None]) -> None:
        """Pass the tasks, smallest rank first, to `reply`, in some thread; by arrival if the policy raises."""
        self._serial.post(self._order, list(tasks), reply)

    def use(self, policy: Policy) -> None:
        """Put another policy in charge; waiting tasks move over, running ones keep their grants."""
        self._serial.post(self._use, policy)

    def close(self, error: BaseException) -> None:
        """Fail every waiting task, and every later one, with `error`; running ones may still be released."""
        self._serial.post(self._close, error)

    # Observation: counts only, right at the moment they are read ----------------------------------------------------

    @property
    def policy(self) -> Policy:
        """The policy in charge."""
        return self._tree.policy

    @property
    def waiting(self) -> int:
        """Tasks that wait."""
        return len(self._tree)

    @property
    def running(self) -> int:
        """Tasks that hold a grant."""
        return len(self._running)

    def tasks(self) -> list[Task]:
        """Tasks that wait, in no order."""
        return list(self._tree)

    def status(self) -> dict[str, Any]:
        """Describe the queue, for people."""
        return {
            "resource": self.name,
            "policy": self.policy.name or type(self.policy).__name__,
            "waiting": self.waiting,
            "running": self.running,
            "granted": self.granted,
            "pushed_back": self.pushed_back,
            "overcommitted": self.overcommitted,
            **self.limiter.status(),
        }

    # On the serial -------------------------------------------------------------------------------------------------

    def _submit(self, task: Task) -> None:
        if task.state is State.NEW:
            if self._closed is not None:
                return self._fail(task, self._closed)
            if self.max_waiting is not None and len(self._tree) >= self.max_waiting:
                return self._fail(task, self._full())
            if not self._enqueue(task, first_time=True):
                return None
            if task.deadline is not None:
                task.timer = self._clock.call_at(task.deadline, lambda: self._serial.post(self._expire, task))
        self._pump()
        if task.state is State.WAITING:
            self._lend(task)
        return None

    def _enqueue(self, task: Task, *, first_time: bool) -> bool:
        """Put the task in the tree; whatever the policy raises becomes the task's failure."""
        now = self._clock.now()
        try:
            if first_time:
                self.policy.enter(task, now)
            self._tree.add(task, now)
        except Exception as error:  # noqa: BLE001 - a policy may be anybody's
            self._fail(task, self._policy_error("rank", error))
            return False
        task.state = State.WAITING
        if first_time:
            task.process.waiting += 1
            task.process.last_seen = now
            for ancestor in task.ancestors:
                ancestor.descendants.append(task)
            if task.loop_id:
                self._loops[task.loop_id] += 1
            self._emit("submit", task, {})
        return True

    def _pump(self) -> None:
        if self._granting is not None:  # an interrupt hit between the grant and its notice
            self._notify(self._granting)
        while (task := self._tree.first()) is not None:
            try:
                delay = self.limiter.delay(task, len(self._running), self._clock.now())
            except Exception as error:  # noqa: BLE001 - a limiter may be anybody's
                self._fail(task, self._core_error("limiter.delay", error))
                continue
            if delay > NOW:
                return self._sleep(delay)
            self._grant(task)
        return None

    def _sleep(self, delay: float) -> None:
        """Have the queue looked at again after `delay`; without a time, a release will do it."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if math.isfinite(delay):
            when = self._clock.now() + min(delay, MAX_SLEEP)
            self._timer = self._clock.call_at(when, self.poke)

    def _grant(self, task: Task, lender: Task | None = None) -> None:
        now = self._clock.now()
        self._granting = task
        self._running[task] = None
        task.state = State.RUNNING
        self._tree.discard(task)
        waited = now - max(task.arrived, task.granted)
        first_time = task.attempts == 0
        task.attempts += 1
        task.granted = now
        task.mark = self.succeeded
        task.waited += waited
        task.process.waited += waited
        task.process.waiting -= 1
        task.process.running += 1
        self._drop_timer(task)
        if lender is not None:
            task.lender, lender.borrower = lender, task
        if first_time:
            self.granted += 1
            task.process.syscalls[task.kind] = task.process.syscalls.get(task.kind, 0) + 1
        self._contain("limiter.started", self.limiter.started, task, now)
        self._charge(task, task.estimate - task.charged)
        details = {"overcommit": True} if lender is not None else {}
        self._emit("grant" if first_time else "resume", task, details)
        self._notify(task)

    def _notify(self, task: Task) -> None:
        """Wake the waiter; where none is left (its loop is closed), give the grant back for it."""
        woken = False
        try:
            woken = task.notify is not None and task.notify()
        except Exception as error:  # noqa: BLE001 - contained: the grant is given back
            self._report("notify", error)
        self._granting = None
        if not woken and task.state is State.RUNNING:
            self._serial.post(self._release, task, Outcome())

    def _release(self, task: Task, outcome: Outcome) -> None:
        if task in self._running:
            self._end_attempt(task, outcome)
            self._settle(task, outcome)
            self._done(task, outcome.error)
            self._emit(_ending(outcome), task, _details(outcome))
        self._pump()

    def _push_back(self, task: Task, outcome: Outcome) -> None:
        if task.state is State.RUNNING and task in self._running:
            self._end_attempt(task, outcome)
            self.pushed_back += 1
            self._emit("push_back", task, {"status": outcome.status, "retry_after": outcome.retry_after})
            task.process.waiting += 1
            task.granted = self._clock.now()  # waiting is counted from here on
            if self._closed is not None:
                self._fail(task, self._closed)
            else:
                self._enqueue(task, first_time=False)
        self._pump()

    def _end_attempt(self, task: Task, outcome: Outcome) -> None:
        now = self._clock.now()
        self._running.pop(task, None)
        task.process.running -= 1
        task.process.ran += now - task.granted
        self._contain("limiter.ended", self.limiter.ended, task, outcome, len(self._running), now)
        if (lender := task.lender) is not None:
            task.lender = lender.borrower = None
            for heir in [t for t in lender.descendants if t.state is State.WAITING]:
                self._lend(heir)

    def _settle(self, task: Task, outcome: Outcome) -> None:
        """Charge the difference between what was reserved and what was used."""
        if outcome.usage is not None:
            task.process.usage += outcome.usage
            if outcome.usage.total_tokens:
                self._charge(task, outcome.usage.total_tokens - task.charged)
        if isinstance(outcome.error, Exception):
            task.process.failed += 1
        elif outcome.error is None:
            self.succeeded += 1

    def _cancel(self, task: Task, error: BaseException | None) -> None:
        task.notify = None
        if task in self._running:
            self._release(task, Outcome(error=error))
        elif task.state is not State.DONE:
            self._leave_queue(task)
            self._done(task, error)
            self._emit("cancel", task, {})
            self._pump()

    def _expire(self, task: Task) -> None:
        if task.state is State.WAITING:
            waited = self._clock.now() - task.arrived
            message = (
                f"{task.label or task.kind!r} of agent {task.process.name!r} waited {waited:.3g} s for {self.name} and "
                f"passed its deadline: allow a longer timeout, raise the resource's limit, or give the agent more priority"
            )
            self._fail(task, DeadlineExceeded(message))
            self._pump()

    def _fail(self, task: Task, error: BaseException) -> None:
        """Answer a task that never ran with an error, and wake it."""
        self._leave_queue(task)
        task.process.failed += 1
        self._done(task, error)
        self._emit("fail", task, {"error": error})
        try:
            if task.notify is not None:
                task.notify()
        except Exception as failure:  # noqa: BLE001 - nobody is there to be told
            self._report("notify", failure)

    def _leave_queue(self, task: Task) -> None:
        self._tree.discard(task)
        if task.state is State.WAITING:
            task.process.waiting -= 1
            task.process.waited += self._clock.now() - max(task.arrived, task.granted)

    def _done(self, task: Task, error: BaseException | None) -> None:
        if task.loop_id and task.state is not State.NEW:
            self._loops[task.loop_id] -= 1
            if not self._loops[task.loop_id]:
                del self._loops[task.loop_id]
        task.error = task.error or error
        task.state = State.DONE
        self._drop_timer(task)
        for ancestor in task.ancestors:
            if task in ancestor.descendants:
                ancestor.descendants.remove(task)
        task.ancestors = ()

    def _drop_timer(self, task: Task) -> None:
        if task.timer is not None:
            task.timer.cancel()
            task.timer = None

    def _lend(self, task: Task) -> None:
        """Grant a task that waits for a slot which only its own caller could give back.

        A call made inside an open call of the same resource (a half-read stream) borrows that one's slot, one call at
        a time. A synchronous call made on an event loop's thread must not wait for calls of that loop: it stops them.
        """
        if getattr(self.limiter, "lendable", True) is False or task.state is not State.WAITING:
            return
        delay = self.limiter.delay(task, len(self._running), self._clock.now())
        if delay != WHEN_RELEASED:
            return
        lender = next((t for t in task.ancestors if t in self._running and t.borrower is None), None)
        if lender is not None or (task.blocks_loop and self._loops[task.loop_id] > 1):
            self.overcommitted += 1
            self._grant(task, lender)

    def _charge(self, task: Task, cost: float) -> None:
        if not cost:
            return
        task.charged += cost
        self._contain("policy.charge", self.policy.charge, task, cost)
        self._contain("policy.rank", self._tree.refresh, task, self._clock.now())

    def _order(self, tasks: list[Task], reply: Callable[[list[Task]], None]) -> None:
        now = self._clock.now()
        try:
            tasks.sort(key=lambda task: (self.policy.rank(task, now), task.seq))
        except Exception as error:  # noqa: BLE001 - a policy may be anybody's; the batch must go on
            self._report("policy.rank", error)
            tasks.sort(key=lambda task: task.seq)
        reply(tasks)

    def _use(self, policy: Policy) -> None:
        waiting = sorted(self._tree, key=lambda task: task.seq)
        if policy is self._tree.policy:
            return
        self._tree = RankTree(policy)
        for task in waiting:
            self._contain("policy.enter", policy.enter, task, self._clock.now())
            self._enqueue(task, first_time=False)
        self._pump()

    def _close(self, error: BaseException) -> None:
        self._closed = error
        if self._timer is not None:
            self._timer.cancel()
        for task in list(self._tree):
            self._fail(task, error)

    # Failures are replies ------------------------------------------------------------------------------------------

    def _contain(self, where: str, function: Callable[..., None], *args: Any) -> None:
        try:
            function(*args)
        except Exception as error:  # noqa: BLE001 - reported; the call's result stands
            self._report(where, error)

    def _report(self, where: str, error: BaseException) -> None:
        log.error("%s of resource %s raised and was contained", where, self.name, exc_info=error)
        self._emit("error", None, {"where": where, "resource": self.name, "error": error})

    def _policy_error(self, where: str, error: Exception) -> PolicyError:
        self._report(f"policy.{where}", error)
        name = self.policy.name or type(self.policy).__name__
        failure = PolicyError(
            f"policy {name!r} of resource {self.name} raised {error!r} in {where}; mend the policy or choose another, "
            f"for example policy='fifo'"
        )
        failure.__cause__ = error
        return failure

    def _core_error(self, where: str, error: Exception) -> CoreError:
        self._report(where, error)
        failure = CoreError(f"{where} of resource {self.name} raised {error!r}")
        failure.__cause__ = error
        return failure

    def _full(self) -> QueueFull:
        return QueueFull(
            f"the run queue of {self.name} is full ({self.max_waiting} calls wait): start fewer agents at once, raise "
            f"max_waiting, or try again later"
        )
