"""Nothing leaves a waiter asleep: every policy, limiter, core, check and subscriber raises at every point it is called."""

from __future__ import annotations

import asyncio
import logging
import threading
from typing import TYPE_CHECKING, Any, ClassVar

import pytest

from aios_kernel import (
    AccessDenied,
    Agent,
    ChatCall,
    CoreError,
    Delta,
    Kernel,
    Policy,
    PolicyError,
    Reply,
    SyscallError,
)
from aios_kernel.cores.base import Core
from aios_kernel.scheduling import FixedLimiter
from tests.support.waiting import PATIENCE, wait_until

if TYPE_CHECKING:
    from collections.abc import Callable

AGENTS = 12


class Boom(Exception):
    """What the faulty parts raise."""


class Fuse:
    """Raise on the n-th call of one named point, for ever after or once; count the calls of every point."""

    def __init__(self, point: str, *, after: int, once: bool) -> None:
        self.point, self.after, self.once = point, after, once
        self.calls: dict[str, int] = {}
        self.blown = 0

    def __call__(self, point: str) -> None:
        count = self.calls[point] = self.calls.get(point, 0) + 1
        if point == self.point and (count == self.after if self.once else count >= self.after):
            self.blown += 1
            raise Boom(point)


class FaultyPolicy(Policy):
    """FIFO per agent through a path, so that every hook is called."""

    name = "faulty"

    def __init__(self, fuse: Fuse) -> None:
        self.fuse = fuse

    def path(self, task: Any) -> tuple[Any, ...]:
        self.fuse("policy.path")
        return (task.process.name,)

    def enter(self, task: Any, now: float) -> None:
        self.fuse("policy.enter")

    def rank(self, task: Any, now: float) -> Any:
        self.fuse("policy.rank")
        return (0, task.seq)

    def charge(self, task: Any, cost: float) -> None:
        self.fuse("policy.charge")


class FaultyLimiter(FixedLimiter):
    """Three slots."""

    def __init__(self, fuse: Fuse) -> None:
        super().__init__(3)
        self.fuse = fuse

    def delay(self, task: Any, running: int, now: float) -> float:
        self.fuse("limiter.delay")
        return super().delay(task, running, now)

    def started(self, task: Any, now: float) -> None:
        self.fuse("limiter.started")

    def ended(self, task: Any, outcome: Any, running: int, now: float) -> None:
        self.fuse("limiter.ended")


class FaultyCore(Core):
    """Answer from a thread of its own; fail where the fuse says."""

    kind: ClassVar[str] = "faulty"

    def __init__(self, fuse: Fuse) -> None:
        super().__init__("faulty", FaultyLimiter(fuse))
        self.fuse = fuse

    def serves(self, call: Any) -> bool:
        self.fuse("core.serves")
        return True

    def prepare(self, call: Any) -> Any:
        self.fuse("core.prepare")

    def estimate(self, call: Any) -> float:
        self.fuse("core.estimate")
        return 1.0

    def start(self, job: Any) -> None:
        self.fuse("core.start")
        threading.Thread(target=self.answer, args=(job,), daemon=True).start()

    def answer(self, job: Any) -> None:
        try:
            for word in ("a", "b"):
                job.emit(Delta(text=word))
                self.fuse("core.serve")
            job.finish(Reply(text="ab"))
        except Boom as error:
            job.fail(CoreError(repr(error)))


POINTS = [
    "policy.path",
    "policy.enter",
    "policy.rank",
    "policy.charge",
    "limiter.delay",
    "limiter.started",
    "limiter.ended",
    "core.serves",
    "core.prepare",
    "core.estimate",
    "core.start",
    "core.serve",
    "check",
    "subscriber",
]


def make(fuse: Fuse) -> Kernel:
    """A kernel whose every part is faulty."""
    kernel = Kernel(
        policy=FaultyPolicy(fuse), llm=FaultyCore(fuse), checks=(lambda call, process: fuse("check"),), max_waiting=100
    )
    kernel.bus.subscribe(lambda event: fuse("subscriber"))
    return kernel


def one_thread(kernel: Kernel, name: str, outcomes: list[object]) -> None:
    try:
        with kernel.syscall(ChatCall(model="m", agent=Agent(name=name), stream=True)) as grant:
            outcomes.append("".join(delta.text for delta in grant.deltas()))
    except Exception as error:  # noqa: BLE001 - the test looks at the kind below
        outcomes.append(error)


async def one_task(kernel: Kernel, name: str, outcomes: list[object]) -> None:
    try:
        async with kernel.syscall(ChatCall(model="m", agent=Agent(name=name))) as grant:
            outcomes.append((await grant.areply()).text)
    except Exception as error:  # noqa: BLE001
        outcomes.append(error)


async def crowd(kernel: Kernel) -> list[object]:
    """Threads that stream and coroutines that wait for replies, together; every one must come back."""
    outcomes: list[object] = []
    threads = [threading.Thread(target=one_thread, args=(kernel, f"t{n % 3}", outcomes)) for n in range(AGENTS)]
    for thread in threads:
        thread.start()
    await asyncio.wait_for(asyncio.gather(*(one_task(kernel, f"c{n % 3}", outcomes) for n in range(AGENTS))), PATIENCE)
    await asyncio.wait_for(asyncio.to_thread(lambda: [thread.join(PATIENCE) for thread in threads]), PATIENCE * 2)
    assert not any(thread.is_alive() for thread in threads)
    return outcomes


@pytest.mark.parametrize("once", [True, False], ids=["once", "for-ever"])
@pytest.mark.parametrize("after", [1, 4])
@pytest.mark.parametrize("point", POINTS)
async def test_every_caller_comes_back_when_a_part_raises(point: str, after: int, once: bool, caplog):
    """Each of 24 callers gets its reply or a SyscallError, nothing stays queued or running, and the kernel goes on."""
    caplog.set_level(logging.CRITICAL)
    fuse = Fuse(point, after=after, once=once)
    kernel = make(fuse)
    outcomes = await crowd(kernel)
    assert fuse.blown, f"{point} was never called"
    assert len(outcomes) == 2 * AGENTS
    assert all(outcome == "ab" or isinstance(outcome, SyscallError) for outcome in outcomes), outcomes
    for row in kernel.status().resources:
        assert (row["waiting"], row["running"]) == (0, 0)
    fuse.point = "mended"
    assert await crowd(kernel) == ["ab"] * 2 * AGENTS
    kernel.close()


@pytest.mark.parametrize(
    ("point", "kind"),
    [("policy.rank", PolicyError), ("policy.enter", PolicyError), ("core.start", CoreError), ("check", AccessDenied)],
)
def test_the_error_says_whose_fault_it_is(point: str, kind: type[SyscallError], caplog):
    """A caller learns which part failed, and the part's own exception is the cause."""
    caplog.set_level(logging.CRITICAL)
    outcomes: list[Any] = []
    one_thread(make(Fuse(point, after=1, once=False)), "a", outcomes)
    assert isinstance(outcomes[0], kind)
    assert isinstance(outcomes[0].__cause__, Boom)
    assert point.partition(".")[2] or "check" in str(outcomes[0])


@pytest.mark.parametrize("point", ["policy.charge", "limiter.ended", "subscriber", "limiter.started"])
async def test_accounting_that_raises_costs_no_result(point: str, caplog):
    """What fails beside a call leaves every call's result as it is."""
    caplog.set_level(logging.CRITICAL)
    assert await crowd(make(Fuse(point, after=1, once=False))) == ["ab"] * 2 * AGENTS


def test_a_failing_subscriber_is_removed_and_logged_and_the_others_go_on(caplog):
    """Observers cannot hurt: neither the call nor one another."""
    kernel = Kernel()
    seen: list[str] = []

    def broken(event: Any) -> None:
        raise Boom(event.name)

    kernel.bus.subscribe(broken)
    kernel.bus.subscribe(lambda event: seen.append(event.name))
    with kernel.syscall(ChatCall(model="m")):
        pass
    assert seen == ["submit", "grant", "finish"]
    assert caplog.text.count("was removed") == 1


@pytest.mark.parametrize("error", [KeyboardInterrupt(), SystemExit()], ids=type)
def test_an_interrupt_inside_the_scheduler_loses_nobody(error: BaseException):
    """Ctrl-C that lands in a policy is raised in its thread; the waiters of other threads are still served."""

    class Interrupted(Policy):
        armed = False

        def rank(self, task: Any, now: float) -> Any:
            return task.seq

        def charge(self, task: Any, cost: float) -> None:
            if self.armed:
                self.armed = False
                raise error

    policy = Interrupted()
    kernel = Kernel(policy=policy, limits={"llm:*": {"in_flight": 1}})
    served: list[object] = []
    waiters = _waiters(kernel, served, 4)
    entry = kernel.syscall(ChatCall(model="m"))
    entry.__enter__()
    for waiter in waiters:
        waiter.start()
    wait_until(lambda: kernel.status().resources[0]["waiting"] == len(waiters))
    policy.armed = True
    with pytest.raises(type(error)):
        entry.__exit__(None, None, None)
    for waiter in waiters:
        waiter.join(PATIENCE)
    assert served == ["served"] * 4
    assert kernel.status().resources[0]["running"] == 0


def _waiters(kernel: Kernel, served: list[object], count: int) -> list[threading.Thread]:
    def wait() -> None:
        with kernel.syscall(ChatCall(model="m")):
            served.append("served")

    make_one: Callable[[], threading.Thread] = lambda: threading.Thread(target=wait)  # noqa: E731
    return [make_one() for _ in range(count)]
