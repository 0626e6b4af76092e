"""The run queue: parts that raise, calls that come and go at any moment, slots that are borrowed."""

from __future__ import annotations

import math
from typing import Any

import pytest

from aios_kernel.abi import Usage
from aios_kernel.errors import CoreError, DeadlineExceeded, KernelClosed, PolicyError, QueueFull
from aios_kernel.scheduling import NOW, WHEN_RELEASED, FixedLimiter, Outcome, Policy, State, Task
from aios_kernel.scheduling.registry import policy
from tests.kernel.scheduling.rig import Rig

REFUSED = Outcome(pushed_back=True, status=429)


class Faulty(Policy):
    """Fair share, but raising at one point for one agent (None: for all), or answering nonsense there."""

    name = "faulty"

    def __init__(self, point: str, agent: str | None = "bad", answer: Any = None) -> None:
        self.point, self.agent, self.answer = point, agent, answer
        self.inner, self.ranked = policy("wfq"), set[Task]()

    def fault(self, point: str, task: Task) -> Any:
        """Raise, or return the nonsense, at the point; None elsewhere."""
        if point != self.point or self.agent not in (None, task.process.name):
            return None
        if self.answer is None:
            raise RuntimeError(f"broken {point}")
        return self.answer

    def path(self, task: Task) -> Any:
        return self.fault("path", task) or self.inner.path(task)

    def enter(self, task: Task, now: float) -> None:
        self.fault("enter", task)
        self.inner.enter(task, now)

    def rank(self, task: Task, now: float) -> Any:
        again, _ = task in self.ranked, self.ranked.add(task)
        return self.fault("rank again" if again else "rank", task) or self.inner.rank(task, now)

    def charge(self, task: Task, cost: float) -> None:
        self.fault("charge", task)
        self.inner.charge(task, cost)


class FaultyLimiter(FixedLimiter):
    """A limit of two that raises, or answers nonsense, at one point for one agent (None: for all)."""

    def __init__(self, point: str, agent: str | None = "bad", answer: Any = None) -> None:
        super().__init__(2)
        self.point, self.agent, self.answer = point, agent, answer

    def fault(self, point: str, task: Task) -> None:
        """Raise at the point."""
        if point == self.point and self.agent in (None, task.process.name):
            raise RuntimeError(f"broken {point}")

    def delay(self, task: Task, running: int, now: float) -> Any:
        if self.answer is not None and task.process.name == self.agent:
            return self.answer
        self.fault("delay", task)
        return super().delay(task, running, now)

    def started(self, task: Task, now: float) -> None:
        self.fault("started", task)

    def ended(self, task: Task, outcome: Outcome, running: int, now: float) -> None:
        self.fault("ended", task)


def mixed(rig: Rig) -> tuple[list[Task], list[Task]]:
    """Submit good and bad agents' calls, more than may run; return both."""
    tasks = [rig.submit(name, 2) for name in ["good", "bad", "other", "bad"] * 5]
    return [t for t in tasks if t.process.name != "bad"], [t for t in tasks if t.process.name == "bad"]


def ran(task: Task) -> bool:
    """Whether the task was granted and came to its end without an error."""
    return task.state is State.DONE and task.error is None and task.attempts == 1


@pytest.mark.parametrize("point", ["path", "enter", "rank"])
def test_a_policy_that_raises_fails_the_call_it_was_asked_about(point: str) -> None:
    """Those calls end with a PolicyError that names policy, resource and remedy; the others run."""
    rig = Rig(Faulty(point), limit=2)
    good, bad = mixed(rig)
    rig.drain()
    assert all(map(ran, good))
    for task in bad:
        assert isinstance(task.error, PolicyError)
        assert "'faulty' of resource llm:test raised RuntimeError" in str(task.error)
        assert "policy='fifo'" in str(task.error)
        assert isinstance(task.error.__cause__, RuntimeError)
        assert rig.woken[task] == 1
    rig.check()


@pytest.mark.parametrize("point", ["charge", "rank again"])
@pytest.mark.parametrize("agent", ["bad", None])
def test_a_policy_that_raises_later_is_reported_and_the_calls_run(point: str, agent: str | None) -> None:
    """Raising from `charge`, or from `rank` when the order is brought up to date, costs nobody the call."""
    rig = Rig(Faulty(point, agent), limit=2)
    good, bad = mixed(rig)
    rig.drain()
    assert all(map(ran, good + bad))
    assert ("error", None) in rig.events
    rig.check()


@pytest.mark.parametrize("answer", ["x", (1, 2, 3), (object(), 1), (1.0, "x"), (math.nan, 0)])
@pytest.mark.parametrize("point", ["rank", "rank again"])
def test_ranks_that_do_not_compare_hold_nobody_up(point: str, answer: object) -> None:
    """Whatever a policy answers for a rank, the others run and the calls concerned run or fail."""
    rig = Rig(Faulty(point, answer=answer), limit=2)
    good, bad = mixed(rig)
    rig.drain()
    assert all(map(ran, good))
    assert all(ran(task) or isinstance(task.error, PolicyError) for task in bad)
    assert (rig.queue.waiting, rig.queue.running) == (0, 0)
    rig.check()


def test_a_batch_is_ordered_by_arrival_if_the_policy_raises() -> None:
    """`order` always replies."""
    rig = Rig(Faulty("rank again"), limit=None)
    tasks = [rig.submit(name, 0) for name in ("x", "bad", "y")]
    replies: list[list[Task]] = []
    rig.queue.order(reversed(tasks), replies.append)
    assert replies == [tasks]


@pytest.mark.parametrize("agent", ["bad", None])
def test_a_limiter_that_raises_from_delay_fails_the_call(agent: str | None) -> None:
    """The call ends with a CoreError that says where; the next is looked at."""
    rig = Rig(policy("fifo"), limiter=FaultyLimiter("delay", agent))
    good, bad = mixed(rig)
    rig.drain()
    for task in bad if agent else good + bad:
        assert isinstance(task.error, CoreError)
        assert "limiter.delay of resource llm:test raised RuntimeError" in str(task.error)
    assert agent is None or all(map(ran, good))
    rig.check()


@pytest.mark.parametrize("answer", ["soon", object(), math.nan, -1.0, -math.inf])
def test_a_limiter_that_answers_nonsense_holds_nobody_up(answer: object) -> None:
    """What is no number of seconds fails the call; a number below 0 is NOW."""
    rig = Rig(policy("fifo"), limiter=FaultyLimiter("none", answer=answer))
    good, bad = mixed(rig)
    rig.drain()
    assert all(map(ran, good))
    assert all(ran(task) or isinstance(task.error, CoreError) for task in bad)
    rig.check()


@pytest.mark.parametrize("point", ["started", "ended"])
def test_a_limiter_that_raises_later_is_reported_and_the_calls_run(point: str) -> None:
    """Raising from `started` and `ended` costs nobody the call."""
    rig = Rig(policy("fifo"), limiter=FaultyLimiter(point))
    good, bad = mixed(rig)
    rig.drain()
    assert all(map(ran, good + bad))
    assert ("error", None) in rig.events
    rig.check()


def test_a_limiter_that_waits_for_a_release_of_nobody_is_asked_again() -> None:
    """With nothing running there is nobody to release: the queue asks again by itself."""

    class Shy(FixedLimiter):
        def delay(self, task: Task, running: int, now: float) -> float:
            return WHEN_RELEASED if now < 90 else NOW

    rig = Rig(policy("fifo"), limiter=Shy())
    task = rig.submit()
    rig.clock.advance(200)
    assert task.state is State.RUNNING


@pytest.mark.parametrize("answer", [False, None, RuntimeError("gone")])
def test_a_grant_nobody_takes_is_given_back_and_refunded(answer: bool | RuntimeError | None) -> None:
    """A waiter that is gone, or whose notify raises, holds no slot, and its agent pays nothing."""
    rig = Rig(policy("wfq"))
    first = rig.submit("a")
    gone, next_one = rig.task("gone", 50), rig.task("b")
    called = []

    def notify() -> bool:
        called.append(gone.state)
        if isinstance(answer, RuntimeError):
            raise answer
        return answer  # type: ignore[return-value]

    gone.notify = notify
    rig.queue.submit(gone)
    rig.queue.submit(next_one)
    rig.finish(first)
    assert gone.state is State.DONE
    assert rig.running() == [next_one]
    assert rig.charges[gone.process.pid] == 0
    if isinstance(answer, RuntimeError):
        assert called == [State.RUNNING, State.DONE], "a waiter that could not be told of its grant is told of its end"
        assert isinstance(gone.error, CoreError)


def test_an_emit_that_raises_costs_nobody_the_call() -> None:
    """Observers cannot hurt."""
    rig = Rig(policy("fifo"))

    def emit(name: str, task: Task | None, details: dict[str, Any]) -> None:
        raise RuntimeError(name)

    rig.queue._reports._emit = emit
    tasks = [rig.submit() for _ in range(3)]
    for task in tasks:
        rig.finish(task)
    assert all(map(ran, tasks))


# Coming and going ---------------------------------------------------------------------------------------------------


def test_a_call_that_passes_its_deadline_fails_with_advice() -> None:
    """The waiter is woken with DeadlineExceeded, at the deadline and not before."""
    rig = Rig(policy("fifo"))
    rig.submit("a")
    late = rig.submit("b", timeout=3.0)
    rig.clock.advance(2.9)
    assert late.state is State.WAITING
    rig.clock.advance(0.1)
    assert isinstance(late.error, DeadlineExceeded)
    assert "of agent 'b' waited 3 s for llm:test" in str(late.error)
    assert late.process.waited == 3.0
    rig.check()


def test_a_deadline_holds_also_for_a_call_that_was_pushed_back() -> None:
    """An endpoint that refuses does not turn a bounded wait into an endless one."""
    rig = Rig(policy("fifo"))
    task = rig.submit("a", timeout=3.0)
    first = rig.submit("b")
    rig.clock.advance(1.0)
    rig.queue.use(rig.spied(policy("fixed:order=b|a")))
    rig.queue.push_back(task, REFUSED)
    assert rig.running() == [first]
    rig.clock.advance(2.0)
    assert isinstance(task.error, DeadlineExceeded)
    assert rig.charges[task.process.pid] == 0
    rig.check()


def test_a_refused_call_that_leaves_was_not_served_and_pays_nothing() -> None:
    """What was reserved for an attempt that was pushed back is refunded when the call is cancelled."""
    rig = Rig(policy("las"))
    task = rig.submit("a", 30)
    rig.submit("b")
    rig.queue.push_back(task, REFUSED)
    assert task.state is State.WAITING
    rig.queue.cancel(task)
    assert rig.charges[task.process.pid] == task.charged == 0
    rig.check()


def test_a_call_pushed_back_from_a_closed_queue_fails_and_counts_right() -> None:
    """Shutting down answers it as any other, and no counter is left behind."""
    rig = Rig(policy("fifo"))
    task, waits = rig.submit(), rig.submit()
    rig.queue.close(KernelClosed("closed"))
    rig.queue.push_back(task, REFUSED)
    late = rig.submit()
    assert all(isinstance(t.error, KernelClosed) for t in (task, waits, late))
    assert (task.process.waiting, task.process.running) == (0, 0)
    rig.check()


def test_a_call_pushed_back_to_a_policy_that_raises_fails_and_counts_right() -> None:
    """The policy may fail a call at its second coming too."""
    rig = Rig(Faulty("rank again"))
    task = rig.submit("bad")
    rig.queue.push_back(task, REFUSED)
    assert isinstance(task.error, PolicyError)
    rig.check()


def test_a_push_back_counts_for_the_attempt_it_was_made_in() -> None:
    """Run a second time, as after an interrupt, it does not push the next attempt back."""
    rig = Rig(policy("fifo"))
    task = rig.submit()
    rig.queue.push_back(task, REFUSED)
    assert (task.state, task.attempts) == (State.RUNNING, 2)
    rig.queue._push_back(task, REFUSED, 1)
    assert (task.state, task.attempts) == (State.RUNNING, 2)


def test_a_second_release_does_nothing() -> None:
    """Nor does one that comes after a cancel, nor a charge after the end."""
    rig = Rig(policy("fifo"))
    task = rig.submit(cost=5)
    rig.finish(task, 7)
    rig.finish(task, 9)
    rig.queue.cancel(task)
    rig.queue.charge(task, 3)
    assert rig.charges[task.process.pid] == 7
    assert task.process.usage == Usage(output_tokens=7)
    rig.check()


def test_a_full_queue_refuses_what_would_have_to_wait() -> None:
    """Running calls do not count, and a call that can start at once is never refused."""
    rig = Rig(policy("fifo"), max_waiting=0)
    first = rig.submit()
    assert first.state is State.RUNNING
    refused = rig.submit()
    assert isinstance(refused.error, QueueFull)
    assert "raise max_waiting" in str(refused.error).replace("\n", " ")
    rig.check()


def test_a_new_policy_is_told_what_open_calls_stand_at() -> None:
    """A reservation made under one policy and reconciled under another earns nobody a credit."""
    rig = Rig(policy("fifo"))
    greedy = rig.submit("greedy", 1000)
    rig.queue.use(rig.spied(policy("las")))
    rig.finish(greedy, 10)
    assert rig.charges == {greedy.process.pid: 10}


def test_a_charge_after_a_change_of_policy_moves_the_agent_in_the_new_one() -> None:
    """The level of a running task is found by the new policy's keys, not by those it was queued under."""
    rig = Rig(policy("groups"))
    running = rig.submit("a", 1, group="g")
    for name in ("a", "b"):
        rig.submit(name, 1, group="g")
    rig.queue.use(rig.spied(policy("las")))
    rig.queue.charge(running, 50)
    assert rig.drain() == ["a", "b", "a"]


# Slots that are borrowed --------------------------------------------------------------------------------------------


def nested(rig: Rig, *parents: Task, name: str = "a") -> Task:
    """Submit a call made inside of others."""
    task = rig.task(name)
    task.ancestors = parents
    rig.queue.submit(task)
    return task


def test_a_call_inside_an_open_call_borrows_its_slot_one_at_a_time() -> None:
    """The second nested call waits for the first, and then borrows too."""
    rig = Rig(policy("fifo"))
    outer = rig.submit()
    other = rig.submit("b")
    first, second = nested(rig, outer), nested(rig, outer)
    assert [t.state for t in (first, second, other)] == [State.RUNNING, State.WAITING, State.WAITING]
    rig.finish(first)
    assert (second.state, other.state) == (State.RUNNING, State.WAITING)
    rig.finish(second)
    rig.finish(outer)
    assert other.state is State.RUNNING
    assert rig.queue.overcommitted == 2
    rig.check()


def test_a_nested_call_borrows_also_when_the_slots_ran_out_after_it_came() -> None:
    """First held back for a time, then for a slot that only its own caller could give back: it must not wait."""

    class Slow(FixedLimiter):
        def delay(self, task: Task, running: int, now: float) -> float:
            return 10.0 - now if now < 10 and running else super().delay(task, running, now)

    rig = Rig(policy("fifo"), limiter=Slow(1))
    outer = rig.submit()
    inner = nested(rig, outer)
    assert inner.state is State.WAITING
    rig.clock.advance(10)
    assert inner.state is State.RUNNING


def test_a_synchronous_call_on_a_loop_s_thread_does_not_wait_for_that_loop() -> None:
    """It stops the loop whose calls hold the slots, so it is let through; alone, it waits like any other."""
    rig = Rig(policy("fifo"))
    held = rig.task("a")
    held.loop_id = 7
    rig.queue.submit(held)
    for loop, state in ((8, State.WAITING), (7, State.RUNNING)):
        task = rig.task("b")
        task.loop_id, task.blocks_loop = loop, True
        rig.queue.submit(task)
        assert task.state is state
    rig.drain()
    assert rig.queue._loops == {}
