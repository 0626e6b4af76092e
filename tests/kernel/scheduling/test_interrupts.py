"""Whatever hits a queue in the middle of its work: finalisers, threads, Ctrl-C at any call."""

from __future__ import annotations

import gc
import sys
import threading
import weakref
from typing import TYPE_CHECKING, Any

import pytest

from aios_kernel.abi import Usage
from aios_kernel.errors import KernelClosed
from aios_kernel.scheduling import Outcome, State, Task
from aios_kernel.scheduling.registry import policy
from aios_kernel.serial import MAX_INTERRUPTS, Serial
from tests.kernel.scheduling.rig import Rig

if TYPE_CHECKING:
    from collections.abc import Callable

REFUSED = Outcome(pushed_back=True, status=429)
BEFORE_POSTED = 3  # functions entered on the way to the serial's inbox
OURS = ("/aios_kernel/scheduling/", "/aios_kernel/serial.py", "/aios_kernel/clock.py")


# Ctrl-C --------------------------------------------------------------------------------------------------------------


class Interrupter:
    """Raise KeyboardInterrupt at the n-th point where Python would: where a function is entered or has returned.

    A profile function is called at exactly these points, and what it raises comes up there. Only functions of the
    scheduler count, and only what is called from them.
    """

    def __init__(self, at: int) -> None:
        self.at, self.seen = at, 0

    def __call__(self, frame: Any, event: str, arg: object) -> None:
        if event in ("call", "c_return") and any(part in frame.f_code.co_filename for part in OURS):
            self.seen += 1
            if self.seen == self.at:
                raise KeyboardInterrupt

    def run(self, action: Callable[[], object]) -> bool:
        """Run the action; return whether it was interrupted."""
        sys.setprofile(self)
        try:
            action()
        except KeyboardInterrupt:
            return True
        finally:
            sys.setprofile(None)
        return False


def scene(spec: str) -> Rig:
    """Two running calls, some waiting, agents of several groups and classes."""
    rig = Rig(policy(spec), limit=2)
    for number, name in enumerate("aabbccab"):
        rig.submit(name, 3, group="g/h" if name == "b" else "", timeout=50.0 if number % 2 else None)
        rig.processes[name].paused = name == "c"
    rig.queue.review(rig.processes["c"])
    return rig


def actions(rig: Rig) -> dict[str, Callable[[], object]]:
    """Every message that a caller can post."""
    first, second = rig.running()
    waits = next(task for task in rig.tasks if task.state is State.WAITING)
    new, inner = rig.task("new", 3, timeout=9.0), rig.task("a", 3)
    inner.ancestors = (first,)
    return {
        "submit": lambda: rig.queue.submit(new),
        "submit nested": lambda: rig.queue.submit(inner),
        "release": lambda: rig.queue.release(first, Outcome(usage=Usage(output_tokens=5))),
        "push_back": lambda: rig.queue.push_back(second, REFUSED),
        "cancel waiting": lambda: rig.queue.cancel(waits),
        "cancel running": lambda: rig.queue.cancel(first),
        "charge": lambda: rig.queue.charge(first, 2),
        "expire": lambda: rig.clock.advance(60.0),
        "use": lambda: rig.queue.use(policy("priority")),
        "order": lambda: rig.queue.order([first, second], lambda tasks: None),
        "pause": lambda: decide(rig, paused=True),
        "resume": lambda: decide(rig, paused=False),
        "kill": lambda: decide(rig, killed=True),
        "pin": lambda: decide(rig, pinned=1),
        "close": lambda: rig.queue.close(KernelClosed("closed")),
        "poke": rig.queue.poke,
    }


def decide(rig: Rig, **decision: Any) -> None:
    """Pause, resume, kill or re-rank the agent with the most waiting calls; agent c is paused all along for `resume`."""
    process = rig.processes["c" if decision.get("paused") is False else "a"]
    for key, value in decision.items():
        setattr(process, key, value)
    rig.queue.review(process)


@pytest.mark.parametrize("spec", ["fifo", "groups:within=(wfq)"])
@pytest.mark.parametrize("name", list(actions(scene("fifo"))))
def test_an_interrupt_at_any_call_leaves_a_consistent_queue(name: str, spec: str) -> None:
    """Wherever Ctrl-C hits a message: it is raised, the message is done, books balance, everybody ends."""
    points = Interrupter(0)
    quiet = scene(spec)
    points.run(actions(quiet)[name])
    assert points.seen > 3
    for at in range(1, points.seen + 1):
        rig = scene(spec)
        action = actions(rig)[name]
        interrupted = Interrupter(at).run(action)
        rig.queue.poke()  # the next message of anybody
        posted = {"submit": rig.tasks[-2:-1], "submit nested": rig.tasks[-1:]}.get(name, [])
        # Before the message is posted the caller sees the interrupt, and nothing else has happened.
        assert at <= BEFORE_POSTED or all(task.state is not State.NEW for task in posted)
        rig.tasks = [task for task in rig.tasks if task.state is not State.NEW]
        rig.check()
        may_run = [task for task in rig.queue.tasks() if not task.process.paused]
        assert not may_run or rig.queue.running >= 2, f"idle after an interrupt at point {at}"
        for process in rig.processes.values():
            process.paused = False
            rig.queue.review(process)
        rig.drain()
        assert all(task.state is State.DONE for task in rig.tasks), f"lost after an interrupt at point {at}"
        assert interrupted or at == points.seen


@pytest.mark.parametrize("point", ["enter", "rank", "charge"])
def test_an_interrupt_inside_a_policy_comes_up_when_the_work_is_done(
    point: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """KeyboardInterrupt from the policy reaches the thread it hit, after every call has its turn."""
    rig = Rig(chosen := policy("las"))
    rig.submit("a")
    original, hits = getattr(chosen, point), []

    def interrupted(*args: object) -> object:
        if not hits:
            hits.append(1)
            raise KeyboardInterrupt
        return original(*args)

    monkeypatch.setattr(chosen, point, interrupted)

    def work() -> None:
        rig.submit("b")
        rig.finish(rig.tasks[0])

    with pytest.raises(KeyboardInterrupt):
        work()
    monkeypatch.undo()
    rig.queue.poke()
    rig.drain()
    rig.check()
    assert all(task.state is State.DONE and not task.error for task in rig.tasks)


def test_a_function_that_always_raises_the_interrupt_is_given_up() -> None:
    """The serial does not try for ever, and goes on with the next message."""
    serial, done, tried = Serial(), [], []

    def stubborn() -> None:
        tried.append(1)
        raise SystemExit

    with pytest.raises(SystemExit):
        serial.post(stubborn)
    serial.post(done.append, 1)
    assert (len(tried), done) == (MAX_INTERRUPTS, [1])


# Finalisers and messages from within ---------------------------------------------------------------------------------


def test_messages_posted_from_within_run_after_the_one_at_work() -> None:
    """Posting never runs anything inside of another message."""
    serial, order = Serial(), []

    def outer() -> None:
        serial.post(order.append, "inner")
        order.append("outer")

    serial.post(outer)
    assert order == ["outer", "inner"]


def test_a_finaliser_gives_a_grant_back_in_the_middle_of_anything() -> None:
    """The collector may run inside any message, and release what was dropped, without a lock or a loss."""

    class Handle:
        """What a caller holds; in a cycle, so that only the collector finds it."""

        def __init__(self) -> None:
            self.me = self

    rig = Rig(policy("wfq"), limit=2)

    def abandon(task: Task) -> None:
        handle = Handle()
        weakref.finalize(handle, rig.queue.release, task, Outcome(usage=Usage(output_tokens=1)))

    threshold = gc.get_threshold()
    gc.set_threshold(1, 1, 1)
    try:
        for number in range(300):
            task = rig.submit("abc"[number % 3], 2)
            abandon(task)
    finally:
        gc.set_threshold(*threshold)
    gc.collect()
    rig.check()
    rig.check_accounts()
    assert all(task.state is State.DONE for task in rig.tasks)


# Threads -------------------------------------------------------------------------------------------------------------


def at_once(count: int, action: Callable[[int], None]) -> None:
    """Run the action in so many threads, all let go together and switched as often as can be."""
    barrier, interval = threading.Barrier(count), sys.getswitchinterval()

    def run(who: int) -> None:
        barrier.wait()
        action(who)

    threads = [threading.Thread(target=run, args=(who,)) for who in range(count)]
    sys.setswitchinterval(1e-5)
    try:
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
    finally:
        sys.setswitchinterval(interval)


@pytest.mark.parametrize("spec", ["fifo", "rr", "groups:within=wfq"])
def test_many_threads_at_once_lose_no_call_and_no_token(spec: str) -> None:
    """Eight threads submit, wait, push back, cancel and release at once; all are served and the books are exact."""
    rig = Rig(policy(spec), limit=3)
    for n in range(4):
        rig.process(f"agent{n}", group="g" if n % 2 else "h/i")
    woken_late: list[Task] = []

    def call(name: str, number: int) -> None:
        woken = threading.Semaphore(0)
        task = rig.task(name, 3)
        task.notify = lambda: woken.release() is None
        rig.queue.submit(task)
        attempts = 2 if number % 5 == 0 else 1
        for attempt in range(attempts):
            if not woken.acquire(timeout=20):
                woken_late.append(task)
            if attempt + 1 < attempts:
                rig.queue.push_back(task, REFUSED)
        if number % 7 == 0:
            rig.queue.cancel(task)
        rig.queue.release(task, Outcome(usage=Usage(output_tokens=number + 1)))

    def caller(who: int) -> None:
        for number in range(60):
            call(f"agent{who % 4}", number)

    at_once(8, caller)
    assert not woken_late
    assert len(rig.tasks) == 480
    assert all(task.state is State.DONE for task in rig.tasks)
    for task in rig.tasks:
        task.notify = None
    rig.check()
    rig.check_accounts()


def test_many_posters_keep_their_own_order_and_never_run_at_once() -> None:
    """The serial runs one message at a time and each poster's in the order posted."""
    serial, seen, busy = Serial(), list[tuple[int, int]](), list[int]()
    overlaps: list[int] = []

    def message(who: int, number: int) -> None:
        if busy:
            overlaps.append(who)
        busy.append(who)
        seen.append((who, number))
        busy.pop()

    def poster(who: int) -> None:
        for number in range(500):
            serial.post(message, who, number)

    at_once(6, poster)
    serial.post(lambda: None)
    assert not overlaps
    assert len(seen) == 3_000
    for who in range(6):
        assert [number for poster_, number in seen if poster_ == who] == list(range(500))
