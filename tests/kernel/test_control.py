"""Control from outside: kill, pause, resume and set the priority of an agent while its calls wait and run."""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import random
import threading
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import pytest

from aios_kernel import AccessDenied, Agent, AgentKilled, ChatCall, ConfigError, Kernel, Reply, ToolCall, UnknownName
from aios_kernel.cores.base import Core
from aios_kernel.cores.scripted import ScriptedCore
from tests.support.waiting import PATIENCE, wait_until

ONE = {"llm:*": {"in_flight": 1}}
ANN, BOB = Agent(name="ann"), Agent(name="bob")


def ask(agent: Agent, **more: Any) -> ChatCall:
    """A call of that agent."""
    return ChatCall(model="m", agent=agent, messages=[{"role": "user", "content": "hi"}], **more)


class Waiters:
    """Threads that each make one call and note when they had their turn."""

    def __init__(self, kernel: Kernel) -> None:
        self.kernel, self.order = kernel, list[str]()
        self._pool = ThreadPoolExecutor(16)

    def start(self, agent: Agent, note: str = "", **more: Any) -> Future[None]:
        """Make the call in a thread; return once it waits."""
        before = waiting(self.kernel)
        future = self._pool.submit(self._run, agent, note or agent.name, more)
        wait_until(lambda: waiting(self.kernel) > before or future.done())
        return future

    def _run(self, agent: Agent, note: str, more: dict[str, Any]) -> None:
        with self.kernel.syscall(ask(agent, **more)):
            self.order.append(note)


def waiting(kernel: Kernel) -> int:
    """How many calls wait, of all resources."""
    return sum(row["waiting"] for row in kernel.status().resources)


@pytest.fixture
def kernel():
    kernel = Kernel(limits=ONE)
    yield kernel
    kernel.close()


def pid(kernel: Kernel, agent: Agent) -> int:
    return kernel.spawn(agent).pid


# Kill ----------------------------------------------------------------------------------------------------------------


def test_a_killed_agent_s_waiting_calls_fail_and_the_others_go_on(kernel: Kernel):
    """Each waiter of the agent is woken with AgentKilled, which names it; another agent's call has its turn."""
    waiters = Waiters(kernel)
    with kernel.syscall(ask(Agent(name="holder"))):
        dead = [waiters.start(ANN) for _ in range(3)]
        alive = waiters.start(BOB)
        kernel.kill(pid(kernel, ANN))
        for future in dead:
            with pytest.raises(AgentKilled, match=r"'ann' \(pid 3\) was killed"):
                future.result(PATIENCE)
        assert waiting(kernel) == 1
    alive.result(PATIENCE)
    assert waiters.order == ["bob"]


async def test_a_killed_agent_s_coroutines_are_woken(kernel: Kernel):
    """The same for waiters in an event loop."""

    async def one() -> None:
        async with kernel.syscall(ask(ANN)):
            pass

    # In a context of its own: calls made inside an open one would borrow its slot.
    contextvars.copy_context().run(kernel.syscall(ask(BOB)).__enter__)
    tasks = [asyncio.create_task(one()) for _ in range(3)]
    while waiting(kernel) < 3:  # noqa: ASYNC110 - the kernel tells nobody that somebody waits
        await asyncio.sleep(0)
    kernel.kill(pid(kernel, ANN))
    found = await asyncio.wait_for(asyncio.gather(*tasks, return_exceptions=True), PATIENCE)
    assert [type(error) for error in found] == [AgentKilled] * 3


def test_later_calls_of_a_killed_agent_raise_until_it_is_spawned_anew(kernel: Kernel):
    """Every gate entry is refused, of any kind and resource; after a spawn there is a new process with a new pid."""
    first = pid(kernel, ANN)
    kernel.kill(first)
    for call in (ask(ANN), ToolCall(name="t", agent=ANN)):
        with pytest.raises(AgentKilled), kernel.syscall(call):
            pytest.fail("granted")
    assert isinstance(AgentKilled(), AccessDenied)  # adapters know what to make of that
    second = pid(kernel, ANN)
    with kernel.syscall(ask(ANN)) as grant:
        assert grant.pid == second != first
    assert [(row["pid"], row["state"]) for row in kernel.status().agents if row["name"] == "ann"] == [
        (first, "killed"),
        (second, "idle"),
    ]


def test_a_lease_that_runs_ends_by_itself_and_its_push_back_is_refused(kernel: Kernel):
    """The framework's own call is not broken off; where it comes back to the gate, it hears of it."""
    with kernel.syscall(ask(ANN)) as grant:
        kernel.kill(grant.pid)
        with pytest.raises(AgentKilled):
            grant.push_back(429, anyway=True)
    with kernel.syscall(ask(BOB)):
        pass
    with kernel.syscall(ask(BOB)) as other:
        assert other.lease


def test_a_served_call_is_broken_off_and_its_slot_is_given_back():
    """The caller is answered at once though the core takes an hour; the core is told, and the next call is served."""
    core = Endless()
    kernel = Kernel(llm=core)
    try:
        with ThreadPoolExecutor(1) as pool:
            future = pool.submit(reply, kernel, ANN)
            wait_until(lambda: core.running)
            kernel.kill(pid(kernel, ANN))
            with pytest.raises(AgentKilled):
                future.result(PATIENCE)
        assert core.cancelled == 1
        row = next(row for row in kernel.status().resources if row["resource"] == "endless")
        assert (row["running"], row["waiting"]) == (0, 0)
    finally:
        kernel.close()


def test_a_stream_that_is_killed_ends_with_the_error_after_what_was_said():
    """Pieces that came before the kill are delivered, then the error; nothing comes after it."""
    core = Endless("one ")
    kernel = Kernel(llm=core)
    try:
        with kernel.syscall(ask(ANN, stream=True)) as grant:
            stream = grant.deltas()
            assert next(stream).text == "one "
            kernel.kill(grant.pid)
            core.say("two ")
            with pytest.raises(AgentKilled):
                next(stream)
    finally:
        kernel.close()


def reply(kernel: Kernel, agent: Agent) -> Reply:
    with kernel.syscall(ask(agent)) as grant:
        return grant.reply()


class Endless(Core):
    """A core that begins to answer and never ends by itself."""

    kind = "endless"

    def __init__(self, text: str = "") -> None:
        super().__init__("endless")
        self.text, self.running, self.cancelled = text, list[Any](), 0

    def start(self, job: Any) -> None:
        self.running.append(job)
        job.on_cancel(lambda: self.stop(job))
        if self.text:
            self.say(self.text)

    def say(self, text: str) -> None:
        from aios_kernel import Delta

        for job in self.running:
            job.emit(Delta(text=text))

    def stop(self, job: Any) -> None:
        self.cancelled += 1
        job.fail(RuntimeError("cancelled"))


# Pause ---------------------------------------------------------------------------------------------------------------


def test_a_paused_agent_waits_while_later_ones_pass_and_then_has_its_old_place(kernel: Kernel):
    """First come, first served, but for the paused one, who on resume is before those that came after it."""
    waiters = Waiters(kernel)
    with kernel.syscall(ask(Agent(name="holder"))):
        kernel.pause(pid(kernel, ANN))
        kernel.pause(pid(kernel, ANN))  # twice is once
        futures = [waiters.start(ANN), waiters.start(BOB)]
    futures[1].result(PATIENCE)
    assert waiters.order == ["bob"]
    assert kernel.status().resources[0]["waiting"] == 1
    with kernel.syscall(ask(Agent(name="holder"))):
        futures.append(waiters.start(Agent(name="cyd")))
        kernel.resume(pid(kernel, ANN))
    for future in futures:
        future.result(PATIENCE)
    assert waiters.order == ["bob", "ann", "cyd"]


def test_a_call_that_runs_when_its_agent_is_paused_runs_on(kernel: Kernel):
    """Pausing takes nothing away; the state of the agent is seen from outside."""
    with kernel.syscall(ask(ANN)) as grant:
        process = kernel.pause(grant.pid)
        assert process.state == "paused"
        assert process.running == 1
    assert (process.running, process.state) == (0, "paused")
    assert kernel.resume(process.pid).state == "idle"


def test_a_paused_agent_s_calls_keep_their_deadlines_and_can_be_killed_or_closed(kernel: Kernel):
    """However long the pause: a deadline passes, a kill and the kernel's end wake them."""
    from aios_kernel import DeadlineExceeded, KernelClosed

    waiters = Waiters(kernel)
    cyd = Agent(name="cyd")
    for agent in (ANN, BOB, cyd):
        kernel.pause(pid(kernel, agent))
    late, dead, closed = waiters.start(ANN, timeout=0.05), waiters.start(BOB), waiters.start(cyd)
    with pytest.raises(DeadlineExceeded):
        late.result(PATIENCE)
    kernel.kill(pid(kernel, BOB))
    with pytest.raises(AgentKilled):
        dead.result(PATIENCE)
    kernel.close()
    with pytest.raises(KernelClosed):
        closed.result(PATIENCE)


def test_a_pause_earns_no_credit():
    """Under fair share, an agent that was paused does not catch up on what the others had meanwhile."""
    kernel = Kernel(policy="wfq", limits=ONE)
    waiters = Waiters(kernel)
    try:
        with kernel.syscall(ask(Agent(name="holder"))):
            kernel.pause(pid(kernel, ANN))
            paused = [waiters.start(ANN) for _ in range(4)]
        for _ in range(20):
            with kernel.syscall(ask(BOB)):
                pass
        with kernel.syscall(ask(Agent(name="holder"))):
            others = [waiters.start(BOB) for _ in range(4)]
            kernel.resume(pid(kernel, ANN))
        for future in paused + others:
            future.result(PATIENCE)
        assert waiters.order[:4].count("bob") == 2, waiters.order
    finally:
        kernel.close()


# Priority ------------------------------------------------------------------------------------------------------------


def test_a_priority_set_from_outside_moves_waiting_calls_and_outlives_the_agent_s_own():
    """The waiting calls change their order; a later call, which brings its own priority, is ranked by the one set."""
    kernel = Kernel(policy="priority:interval=1000", limits=ONE)
    waiters = Waiters(kernel)
    try:
        with kernel.syscall(ask(Agent(name="holder"))):
            futures = [waiters.start(BOB), waiters.start(ANN)]
            kernel.set_priority(pid(kernel, ANN), 1)
        for future in futures:
            future.result(PATIENCE)
        with kernel.syscall(ask(Agent(name="holder"))):
            futures = [waiters.start(BOB), waiters.start(Agent(name="ann", priority=90))]
        for future in futures:
            future.result(PATIENCE)
        assert waiters.order == ["ann", "bob", "ann", "bob"]
        assert next(row for row in kernel.status().agents if row["name"] == "ann")["priority"] == 1
    finally:
        kernel.close()


def test_what_does_not_exist_is_said(kernel: Kernel):
    """An unknown pid, a dead agent and an impossible priority are clear errors and change nothing."""
    for number in range(2_000):
        kernel.spawn(Agent(name=f"agent {number}"))
    with pytest.raises(UnknownName, match=r"unknown pid 7777.* 2001 agents live in all") as caught:
        kernel.kill(7777)
    assert len(str(caught.value)) < 200
    number = pid(kernel, ANN)
    with pytest.raises(ConfigError, match="priority of agent 'ann' is 0"):
        kernel.set_priority(number, 0)
    kernel.kill(number)
    for again in (kernel.kill, kernel.pause, kernel.resume):
        with pytest.raises(ConfigError, match="killed already"):
            again(number)


def test_decisions_are_events(kernel: Kernel):
    """Each is told once, with the agent's pid."""
    seen: list[tuple[str, int]] = []
    number = pid(kernel, ANN)
    kernel.bus.subscribe(lambda event: seen.append((event.name, event.pid)))
    kernel.pause(number)
    kernel.resume(number)
    kernel.set_priority(number, 3)
    kernel.kill(number)
    assert seen == [("pause", number), ("unpause", number), ("priority", number), ("kill", number)]


def test_many_at_once_wake_everybody():
    """Threads call while others pause, resume, re-rank and kill at random: every thread ends, the books balance."""
    kernel = Kernel(limits={"llm:*": {"in_flight": 2}}, llm={"served": ScriptedCore(lambda call: "ok")})
    agents = [Agent(name=f"agent {number}") for number in range(6)]
    stop, ended = threading.Event(), list[str]()

    def call(agent: Agent, number: int) -> None:
        for turn in range(60):
            call_once(kernel, agent, "served" if (turn + number) % 3 == 0 else "m")
        ended.append(agent.name)

    def disturb(seed: int) -> None:
        rng = random.Random(seed)
        while not stop.is_set():
            with contextlib.suppress(ConfigError):  # dead already
                decide(kernel, rng)

    callers = [threading.Thread(target=call, args=(agent, n), daemon=True) for n in range(3) for agent in agents]
    others = [threading.Thread(target=disturb, args=(seed,), daemon=True) for seed in range(2)]
    for thread in callers + others:
        thread.start()
    stop.wait(2.0)
    stop.set()
    for thread in others:
        thread.join(PATIENCE)
    for process in kernel.processes:
        if process.paused and not process.killed:
            kernel.resume(process.pid)
    for thread in callers:
        thread.join(PATIENCE)
    assert len(ended) == 18
    assert all(process.waiting == process.running == 0 for process in kernel.processes)
    assert waiting(kernel) == 0
    kernel.close()


def call_once(kernel: Kernel, agent: Agent, model: str) -> None:
    try:
        with kernel.syscall(ChatCall(model=model, agent=agent)) as grant:
            if not grant.lease:
                grant.reply()
    except AgentKilled:
        kernel.spawn(agent)


def decide(kernel: Kernel, rng: random.Random) -> None:
    number = rng.choice([process.pid for process in kernel.processes])
    if rng.random() < 0.2:
        kernel.set_priority(number, rng.randint(1, 9))
    else:
        rng.choice([kernel.pause, kernel.resume, kernel.resume, kernel.kill])(number)
