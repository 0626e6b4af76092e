"""A run queue: the calls of one resource, granted in the policy's order as its limiter allows.

All state below is touched only from functions that run on the kernel's `Serial`, one at a time and idempotent; the
public methods only post. So no caller ever waits for a lock, and a finaliser may give a grant back at any moment.
After an interrupt every waiter is still woken and every counter right; an event may be told twice or not at all.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from aios_kernel.errors import AccessDenied, AgentKilled, DeadlineExceeded, QueueFull
from aios_kernel.scheduling.limiter import NOW, WHEN_RELEASED, FixedLimiter, Limiter, Outcome
from aios_kernel.scheduling.reports import Reports
from aios_kernel.scheduling.task import State, Task
from aios_kernel.scheduling.tree import RankTree
from aios_kernel.scheduling.waiting import WaitingRoom, differs, reprioritise

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Iterable

    from aios_kernel.clock import Clock, Timer
    from aios_kernel.errors import PolicyError
    from aios_kernel.events import EventName
    from aios_kernel.process import Process
    from aios_kernel.scheduling.policy import Policy
    from aios_kernel.serial import Serial

__all__ = ["RunQueue"]

MAX_SLEEP = 3600.0  # a limiter that asks for more is asked again after this
LONELY_SLEEP = 60.0  # the same, while nothing runs whose end would be a reason to ask again


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

    def __init__(
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
        self.granted = self.got_through = self.pushed_back = self.overcommitted = 0
        self._room = WaitingRoom(policy)
        self._running: dict[Task, None] = {}
        self._owed: Task | None = None  # granted or failed, and not told yet
        self._reserved = False  # whether the limiter knows of the grant in `_owed`
        self._loops: dict[Hashable, int] = {}  # open tasks of each event loop
        self._nested: dict[Task, None] = {}  # waiting tasks that may borrow a slot
        self._serial, self._clock, self._reports = serial, clock, Reports(name, emit)
        self._timer: Timer | None = None
        self._closed: BaseException | None = None

    # What callers post ---------------------------------------------------------------------------------------------

    def submit(self, task: Task) -> None:
        """Queue the task, or grant it at once; either way its `notify` tells."""
        self._post(self._submit, task)

    def cancel(self, task: Task, error: BaseException | None = None) -> None:
        """Take a waiting task out, or end a running one, without waking anybody."""
        self._post(self._cancel, task, error)

    def release(self, task: Task, outcome: Outcome) -> None:
        """Give the grant back; a second release of the same task does nothing."""
        self._post(self._release, task, outcome)

    def push_back(self, task: Task, outcome: Outcome) -> None:
        """End a refused attempt and queue the task again at its old place; `notify` tells when its turn comes."""
        self._post(self._push_back, task, outcome, task.attempts)

    def put_down(self, task: Task) -> None:
        """Queue a call again whose turn is over; what it has been charged stands."""
        self._post(self._put_down, task, task.attempts)

    def settle(self, task: Task, error: BaseException | None = None) -> None:
        """End the hold of a waiting task: let it into line, or answer it with an error."""
        self._post(self._settle_hold, task, error)

    def passed(self, task: Task) -> None:
        """Note that the endpoint took the task's attempt, which goes on: its stream gave the first piece."""
        self._post(self._passed, task)

    def moves(self, task: Task) -> bool:
        """Whether the resource let another call through since the attempt before the task's latest one began.

        Not only since the latest: its turn may have come from the very success that it is to be told of.
        """
        return self.got_through > task.mark_before

    def charge(self, task: Task, cost: float) -> None:
        """Charge a running task for service, as a core that meters by itself does."""
        self._post(self._meter, task, [cost])

    def poke(self) -> None:
        """Look again whether the next task may start, after a limit changed."""
        self._post(self._pump)

    def order(self, tasks: Iterable[Task], reply: Callable[[list[Task]], None]) -> None:
        """Pass the tasks, smallest rank first, to `reply`, in some thread; by arrival if the policy raises."""
        self._post(self._order, list(tasks), reply)

    def use(self, policy: Policy) -> None:
        """Put another policy in charge; waiting tasks move over, running ones keep their grants.

        The new policy is charged what the open tasks have been charged so far, so that what comes back at their end
        is not credited to them.
        """
        self._post(self._use, policy)

    def review(self, process: Process) -> None:
        """Act on what was decided about an agent: killed, paused, going on, another priority.

        A killed agent's waiting tasks fail and its running ones are told to end; a paused one's wait out of line, at no
        cost to the others' grants, until it goes on; a new priority counts for the waiting and running tasks too.
        """
        self._post(self._review, process)

    def close(self, error: BaseException) -> None:
        """Fail every waiting task, and every later one, with `error`; running ones may still be released."""
        self._post(self._close, error)

    # Observation: counts only, right at the moment they are read ----------------------------------------------------

    @property
    def policy(self) -> Policy:
        """The policy in charge."""
        return self._room.line.policy

    @property
    def waiting(self) -> int:
        """Tasks that wait."""
        return len(self._room)

    @property
    def running(self) -> int:
        """Tasks that hold a grant."""
        return len(self._running)

    def tasks(self) -> list[Task]:
        """Tasks that wait, in no order."""
        return list(self._room)

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
    #
    # An interrupt can come wherever a function is called, and then the message runs again. So each change of state is
    # a block of plain assignments with no call in between; what it leads to is done after it, and can be done twice.

    def _post(self, handler: Callable[..., None], *args: Any) -> None:
        self._serial.post(self._handle, handler, args)

    def _handle(self, handler: Callable[..., None], args: tuple[Any, ...]) -> None:
        if self._owed is not None:  # an interrupt hit between a change of state and its notice
            self._answer(self._owed)
        handler(*args)

    def _submit(self, task: Task) -> None:
        if task.state is State.NEW:
            if (refusal := self._refusal(task)) is not None:
                return self._fail(task, refusal)
            if not self._enter(task):
                return None
        if task.state is State.WAITING and task.deadline is not None and task.timer is None:
            self._arm(task, task.deadline)
        self._pump()
        if task.state is State.WAITING and self.max_waiting is not None and self.waiting > self.max_waiting:
            self._fail(task, self._full())
        return None

    def _refusal(self, task: Task) -> BaseException | None:
        if self._closed is None:
            return task.process.death() if task.process.killed else None
        return self._closing(task, self._closed)

    def _closing(self, task: Task, error: BaseException) -> BaseException:
        """What a closed kernel answers. Without one, calls may go on by themselves, but not one that nobody has allowed."""
        if task.hold is None:
            return error
        return AccessDenied(
            f"{task.label or task.kind!r} of agent {task.process.name!r} waited for a decision: {error}"
        )

    def _enter(self, task: Task) -> bool:
        now = self._clock.now()
        failure = self._place(task, self._room.line, now)
        if failure is not None:
            self._fail(task, failure)
            return False
        loops = self._loops.get(task.loop_id, 0) + 1
        task.state = State.WAITING
        task.process.waiting += 1
        task.process.last_seen = now
        if task.loop_id:
            self._loops[task.loop_id] = loops
        self._reports.tell("submit", task, {})
        return True

    def _place(self, task: Task, tree: RankTree, now: float) -> PolicyError | None:
        """Put the task in line; return what its policy raised, which is to be the task's failure.

        A paused agent's task is held instead, and one that a check holds: for the policy it comes when it may go on.
        """
        if task.process.paused or task.hold is not None:
            return self._hold(task)
        where = "enter"
        try:
            tree.policy.enter(task, now)
            where = "path or rank"
            tree.add(task, now)
            if task.ancestors or task.blocks_loop:
                self._nested[task] = None
        except Exception as error:  # noqa: BLE001 - a policy may be anybody's
            return self._reports.policy_error(where, error, tree.policy)
        return None

    def _hold(self, task: Task) -> None:
        self._room.hold(task)
        self._nested.pop(task, None)

    def _arm(self, task: Task, deadline: float) -> None:
        task.timer = self._clock.call_at(deadline, lambda: self._post(self._expire, task))

    def _pump(self) -> None:
        while (task := self._room.line.first(self._clock.now())) is not None:
            if task.process.paused:  # paused a moment ago; the review of its other tasks is on its way
                self._hold(task)
                continue
            try:
                delay = self._delay(task)
            except Exception as error:  # noqa: BLE001 - a limiter may be anybody's
                self._fail(task, self._reports.core_error("limiter.delay", error))
                continue
            if delay > NOW:
                self._sleep(delay)
                break
            self._grant(task)
        self._lend()

    def _delay(self, task: Task) -> float:
        return float(self.limiter.delay(task, len(self._running), self._clock.now()))

    def _sleep(self, delay: float) -> None:
        """Have the queue looked at again after `delay`; without a time, a release will do it."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if delay == WHEN_RELEASED and not self._running:  # nobody is left to release anything
            delay = LONELY_SLEEP
        if math.isfinite(delay):
            when = self._clock.now() + min(delay, MAX_SLEEP)
            self._timer = self._clock.call_at(when, self.poke)

    def _grant(self, task: Task, lender: Task | None = None) -> None:
        now = self._clock.now()
        process = task.process
        waited = now - max(task.arrived, task.granted)
        syscalls = process.syscalls.get(task.kind, 0) + 1
        # From here on no call, up to the end of the block.
        self._running[task] = None
        self._owed, self._reserved = task, False
        task.state = State.RUNNING
        task.granted = now
        task.mark_before = task.mark if task.attempts else self.got_through
        task.mark = self.got_through
        task.waited += waited
        task.attempts += 1
        process.waited += waited
        process.waiting -= 1
        process.running += 1
        if task.attempts == 1:
            self.granted += 1
            process.syscalls[task.kind] = syscalls
        if lender is not None:
            task.lender, lender.borrower = lender, task
        self._answer(task)

    def _answer(self, task: Task) -> None:
        """Finish a grant or a failure: reserve, charge, tell, and wake the waiter."""
        self._room.line.discard(task)
        self._drop_timer(task)
        if task.state is State.RUNNING:
            if not self._reserved:
                self._reserved = True
                self._reports.contain("limiter.started", self.limiter.started, task, task.granted)
            self._charge(task, max(0.0, task.estimate - task.charged))
            details = {"overcommit": True} if task.lender is not None else {}
            self._reports.tell("grant" if task.attempts == 1 else "resume", task, details)
        else:
            self._forget(task)
            # A refusal is the same to those who watch, whether it came at once or after a person was asked.
            denied = isinstance(task.error, AccessDenied) and not isinstance(task.error, AgentKilled)
            self._reports.tell("deny" if denied else "fail", task, {"error": task.error})
        self._wake(task)
        self._owed = None

    def _wake(self, task: Task) -> None:
        """Notify the waiter; where none is left (its loop is closed), give the grant back for it."""
        failure: BaseException | None = None
        woken = False
        try:
            woken = task.notify is not None and task.notify()
        except Exception as error:  # noqa: BLE001 - contained: the grant is given back
            failure = self._reports.core_error("notify", error)
        if not woken and task.state is State.RUNNING:
            self._post(self._unclaimed, task, failure, task.attempts)

    def _unclaimed(self, task: Task, failure: BaseException | None, attempt: int) -> None:
        if task.state is State.RUNNING and task.attempts == attempt:
            self._charge(task, -task.charged)  # it was not served
            self._release(task, Outcome(error=failure or GeneratorExit("nobody was there to be woken")))
            if failure is not None and task.notify is not None:
                self._reports.contain("notify", task.notify)  # its waiter may sleep still

    def _release(self, task: Task, outcome: Outcome) -> None:
        if task in self._running:
            self._end_attempt(task, outcome)
        if task.state is State.RUNNING:
            self._settle(task, outcome)
        if task.state is State.DONE:
            self._forget(task)
        self._pump()

    def _push_back(self, task: Task, outcome: Outcome, attempt: int) -> None:
        if task in self._running and task.attempts == attempt:
            self._end_attempt(task, outcome, again=True)
            self._reports.tell("push_back", task, {"status": outcome.status, "retry_after": outcome.retry_after})
        if task.state is State.WAITING and task.attempts == attempt:
            self._return(task, outcome.retry_after or 0.0)
        self._pump()

    def _put_down(self, task: Task, attempt: int) -> None:
        if task in self._running and task.attempts == attempt:
            self._end_attempt(task, Outcome(), again=True)
            self._reports.tell("preempt", task, {})
        if task.state is State.WAITING and task.attempts == attempt:
            self._return(task, 0.0)
        self._pump()

    def _return(self, task: Task, hold: float) -> None:
        """Put a task that was pushed back or put down into the queue, at its old place and with its old deadline.

        For the time that the endpoint named for it, it is kept aside, so that it does not hold up the others.
        """
        if (refusal := self._refusal(task)) is not None:
            return self._fail(task, refusal)
        if hold > 0:
            if task not in self._room.parked:
                until = task.granted + hold
                self._room.parked[task] = self._clock.call_at(until, lambda: self._post(self._unpark, task))
        elif (failure := self._place(task, self._room.line, self._clock.now())) is not None:
            return self._fail(task, failure)
        if task.deadline is not None and task.timer is None:
            self._arm(task, task.deadline)
        return None

    def _unpark(self, task: Task) -> None:
        if task in self._room.parked:
            failure = self._place(task, self._room.line, self._clock.now())
            self._room.parked.pop(task, None)
            if failure is not None:
                self._fail(task, failure)
        self._pump()

    def _settle_hold(self, task: Task, error: BaseException | None) -> None:
        hold, task.hold = task.hold, None
        if task.state is State.WAITING and error is not None and (hold is not None or task in self._room.held):
            self._fail(task, error)
        elif task.state is State.WAITING and task in self._room.held and not task.process.paused:
            failure = self._place(task, self._room.line, self._clock.now())
            self._room.held.pop(task, None)
            if failure is not None:
                self._fail(task, failure)
        self._pump()

    def _end_attempt(self, task: Task, outcome: Outcome, *, again: bool = False) -> None:
        """Take the task out of the running ones."""
        now = self._clock.now()
        process = task.process
        # From here on no call, up to the end of the block.
        del self._running[task]
        process.running -= 1
        process.ran += now - task.granted
        if again:
            task.state = State.WAITING
            task.granted = now  # waiting is counted from here on
            process.waiting += 1
            self.pushed_back += outcome.pushed_back
        lender, task.lender = task.lender, None
        if lender is not None:
            lender.borrower = None
        self._reports.contain("limiter.ended", self.limiter.ended, task, outcome, len(self._running), now)

    def _settle(self, task: Task, outcome: Outcome) -> None:
        """Charge the difference between what was reserved and what was used; the task is DONE."""
        process = task.process
        usage = process.usage
        if outcome.usage is not None:
            usage += outcome.usage
            if outcome.usage.total_tokens:
                self._charge(task, outcome.usage.total_tokens - task.charged)
        # From here on no call, up to the end of the block.
        process.usage = usage
        task.error = task.error or outcome.error
        if outcome.error is None:
            self.got_through += 1
        elif isinstance(outcome.error, Exception):
            process.failed += 1
        task.state = State.DONE
        self._reports.tell(_ending(outcome), task, _details(outcome))

    def _passed(self, task: Task) -> None:
        self.got_through += 1
        self._reports.tell("first_token", task, {})

    def _meter(self, task: Task, costs: list[float]) -> None:
        while costs:  # taken out before it is charged: a message that runs again charges nothing twice
            cost = costs.pop()
            if task in self._running:
                self._charge(task, cost)

    def _cancel(self, task: Task, error: BaseException | None) -> None:
        task.notify = None
        if task.state is State.RUNNING:
            self._release(task, Outcome(error=error))
            return
        if task.state is not State.DONE:
            self._retire(task, error)
            self._reports.tell("cancel", task, {})
        self._forget(task)
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
        """Answer a task that does not run with an error, and wake its waiter."""
        self._retire(task, error, owed=True)
        self._answer(task)

    def _retire(self, task: Task, error: BaseException | None, *, owed: bool = False) -> None:
        """Make a task that does not run DONE."""
        process = task.process
        waits = task.state is State.WAITING
        waited = self._clock.now() - max(task.arrived, task.granted)
        if task.charged:
            self._charge(task, -task.charged)  # it was pushed back, so not served
        # From here on no call, up to the end of the block.
        task.state = State.DONE
        task.error = task.error or error
        if waits:
            process.waiting -= 1
            process.waited += waited
            task.waited += waited
        else:
            task.loop_id = 0  # it was never counted
        if owed:
            process.failed += 1
            self._owed = task

    def _forget(self, task: Task) -> None:
        """Undo what an open task has left with others; does nothing the second time."""
        if task.hold is not None:
            self._reports.contain("hold", task.hold.withdraw)
            task.hold = None
        self._drop_timer(task)
        self._room.forget(task)
        loop = task.loop_id
        if loop and loop in self._loops:
            left = self._loops[loop] - 1
            task.loop_id = 0
            if left > 0:
                self._loops[loop] = left
            else:
                del self._loops[loop]
        task.ancestors = ()

    def _drop_timer(self, task: Task) -> None:
        if task.timer is not None:
            task.timer.cancel()
            task.timer = None

    def _lend(self) -> None:
        """Grant tasks that wait for a slot which only their own caller could give back.

        A call made inside an open call of the same resource (a half-read stream) borrows that one's slot, one call at
        a time. A synchronous call made on an event loop's thread must not wait for calls of that loop: it stops them.
        """
        for task in list(self._nested):
            if task.state is not State.WAITING or task.process.paused:
                del self._nested[task]
                continue
            lender = self._lender(task)
            stops_others = task.blocks_loop and self._loops[task.loop_id] > 1
            if (lender is not None or stops_others) and self._lendable(task):
                self.overcommitted += 1
                self._grant(task, lender)

    def _lender(self, task: Task) -> Task | None:
        for ancestor in task.ancestors:
            if ancestor in self._running and ancestor.borrower is None:
                return ancestor
        return None

    def _lendable(self, task: Task) -> bool:
        try:
            return getattr(self.limiter, "lendable", True) is not False and self._delay(task) == WHEN_RELEASED
        except Exception as error:  # noqa: BLE001 - a limiter may be anybody's; the task goes on waiting in line
            self._reports.report("limiter.delay", error)
            return False

    def _charge(self, task: Task, cost: float) -> None:
        if not cost:
            return
        task.charged += cost
        self._reports.contain("policy.charge", self.policy.charge, task, cost)
        self._reports.contain("policy.rank", self._room.line.refresh, task, self._clock.now())

    def _order(self, tasks: list[Task], reply: Callable[[list[Task]], None]) -> None:
        now = self._clock.now()
        try:
            tasks.sort(key=lambda task: (self.policy.rank(task, now), task.seq))
        except Exception as error:  # noqa: BLE001 - a policy may be anybody's; the batch must go on
            self._reports.report("policy.rank", error)
            tasks.sort(key=lambda task: task.seq)
        reply(tasks)

    def _use(self, policy: Policy) -> None:
        if policy is not self._room.line.policy:
            self._room.line = self._moved_to(policy)
        self._pump()

    def _review(self, process: Process) -> None:
        if process.killed:
            return self._end(process)
        mine = self._room.of(process)
        for task in [task for task in self._running if task.process is process]:
            reprioritise(task)
        for task in mine:
            # A change of rank goes by way of the held ones: the line must know a task by one rank only.
            if task not in self._room.parked and (process.paused or differs(task)):
                self._hold(task)
            reprioritise(task)
        for task in mine:
            if not process.paused and task.hold is None and task in self._room.held:
                failure = self._place(task, self._room.line, self._clock.now())
                self._room.held.pop(task, None)
                if failure is not None:
                    self._fail(task, failure)
        return self._pump()

    def _end(self, process: Process) -> None:
        for task in self._room.of(process):
            if task.state is State.WAITING:
                self._fail(task, process.death())
        for task in list(self._running):
            if task.process is process and task.kill is not None:
                self._reports.contain("kill", task.kill, process.death())
        self._pump()

    def _moved_to(self, policy: Policy) -> RankTree:
        """Rank every waiting task anew, in a tree that takes over once it is complete."""
        tree, now = RankTree(policy), self._clock.now()
        waiting = sorted(self._room.line, key=lambda task: task.seq)
        for task in [*self._running, *self._room.aside, *waiting]:
            if task.charged:
                self._reports.contain("policy.charge", policy.charge, task, task.charged)
        for task in self._room.parked:
            self._reports.contain("policy.enter", policy.enter, task, now)
        for task in waiting:
            failure = self._place(task, tree, now)
            if failure is not None:
                self._fail(task, failure)
        return tree

    def _close(self, error: BaseException) -> None:
        self._closed = error
        if self._timer is not None:
            self._timer.cancel()
        for task in self.tasks():
            if task.state is State.WAITING:
                self._fail(task, self._closing(task, error))

    def _full(self) -> QueueFull:
        return QueueFull(
            f"the run queue of {self.name} is full ({self.max_waiting} calls wait): start fewer agents at once, raise "
            f"max_waiting, or try again later"
        )
