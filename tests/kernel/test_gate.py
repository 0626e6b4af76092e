"""The gate: entering, waiting, leaving, in threads and event loops; of a kernel in this process and of one elsewhere."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from aios_adapters.remote import RemoteKernel
from aios_kernel import (
    AccessDenied,
    Agent,
    ChatCall,
    ConfigError,
    DeadlineExceeded,
    Kernel,
    KernelClosed,
    MockClock,
    QueueFull,
    ToolCall,
    UnknownName,
    Usage,
    current_agent,
)
from tests.support.shared import served
from tests.support.waiting import PATIENCE, wait_until

CALL = ChatCall(model="m", messages=[{"role": "user", "content": "hi"}])
LIMIT_ONE = {"llm:*": {"in_flight": 1}}


Make = Callable[..., Any]


@pytest.fixture(params=["embedded", "shared"])
def make(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Make]:
    """What makes a kernel and gives its gate: the kernel itself, or a client of the server that it is behind."""
    with contextlib.ExitStack() as stack:

        def made(**options: Any) -> Any:
            kernel = Kernel(**options)
            if request.param == "embedded":
                return kernel
            where = stack.enter_context(served(kernel, tmp_path / "kernel.sock")).where
            return stack.enter_context(contextlib.closing(RemoteKernel(where)))

        yield made


def llm(gate: Any) -> dict[str, Any]:
    """The status row of the one language-model resource."""
    rows = gate.status().resources
    return next((row for row in rows if row["resource"].startswith("llm:")), {"waiting": 0, "running": 0})


def agents(gate: Any) -> dict[int, dict[str, Any]]:
    """The status rows of the agents, by pid."""
    return {row["pid"]: row for row in gate.status().agents}


def test_a_lease_is_granted_counted_and_given_back(make: Make):
    """A call with nothing configured is a lease, granted at once, counted by kind, its usage on the agent's account."""
    gate = make()
    with gate.syscall(CALL) as grant:
        assert grant.lease
        assert llm(gate)["running"] == 1
        grant.report(Usage(input_tokens=3, output_tokens=4))
    with gate.syscall(ToolCall(name="search")):
        pass
    assert gate.status().syscalls == {"llm": 1, "tool": 1}
    assert llm(gate)["running"] == 0
    assert sum(row["output_tokens"] for row in gate.status().agents) == 4


def test_the_caller_s_own_exception_passes_through(make: Make):
    """What the leased call raises reaches the caller as the same object, and the grant is back."""
    gate = make(limits=LIMIT_ONE)
    failure = RuntimeError("mine")
    with pytest.raises(RuntimeError) as caught, gate.syscall(CALL):
        raise failure
    assert caught.value is failure
    assert llm(gate)["running"] == 0
    assert sum(row["failed"] for row in gate.status().agents) == 1


def test_identity_comes_from_the_call_then_the_context_then_the_root(make: Make):
    """An explicit agent wins over the context's; without either the call is the root agent's."""
    gate = make()
    token = current_agent.set(Agent(name="context"))
    try:
        with gate.syscall(CALL) as implicit, gate.syscall(ToolCall(name="t", agent=Agent(name="explicit"))) as own:
            names = [agents(gate)[grant.pid]["name"] for grant in (implicit, own)]
    finally:
        current_agent.reset(token)
    with gate.syscall(CALL) as grant:
        assert agents(gate)[grant.pid]["name"] in {"root", "pytest", "__main__.py"}
    assert names == ["context", "explicit"]


async def test_in_flight_never_exceeds_the_limit_and_nobody_is_left_waiting(make: Make):
    """1,000 tasks through 4 slots: at most 4 at once, all served."""
    gate = make(limits={"llm:*": {"in_flight": 4}})
    running = most = 0

    async def one(number: int) -> None:
        nonlocal running, most
        async with gate.syscall(ChatCall(model="m", agent=Agent(name=f"a{number % 7}"))):
            running += 1
            most = max(most, running)
            await asyncio.sleep(0)
            running -= 1

    await asyncio.wait_for(asyncio.gather(*(one(n) for n in range(1000))), PATIENCE)
    assert most == 4
    assert llm(gate)["granted"] == 1000
    assert llm(gate)["waiting"] == llm(gate)["running"] == 0


def test_threads_wait_their_turn(make: Make):
    """64 threads through 3 slots: at most 3 at once, all served."""
    gate = make(limits={"llm:*": {"in_flight": 3}})
    lock, running, most = threading.Lock(), 0, 0

    def one(_: int) -> None:
        nonlocal running, most
        with gate.syscall(CALL):
            with lock:
                running += 1
                most = max(most, running)
            with lock:
                running -= 1

    with ThreadPoolExecutor(64) as pool:
        list(pool.map(one, range(640), timeout=PATIENCE))
    assert most <= 3
    assert llm(gate)["granted"] == 640


def test_a_deadline_passes_while_waiting(make: Make):
    """A waiter past its deadline gets DeadlineExceeded that says what to do; the next in line is not harmed."""
    clock = MockClock()
    gate = make(limits=LIMIT_ONE, clock=clock)
    failed: list[BaseException] = []

    def late() -> None:
        try:
            with gate.syscall(ChatCall(model="m", timeout=5.0)):
                pass
        except DeadlineExceeded as error:
            failed.append(error)

    with gate.syscall(CALL):
        waiter = threading.Thread(target=late)
        waiter.start()
        wait_until(lambda: llm(gate)["waiting"] == 1)
        clock.advance(5.0)
        waiter.join(PATIENCE)
    assert "timeout" in str(failed[0])
    with gate.syscall(CALL):
        pass


async def test_a_cancelled_waiter_leaves_at_once_and_a_cancelled_holder_gives_back(make: Make):
    """Cancellation takes a waiter out of the queue; of a running call it releases the grant to the next."""
    gate = make(limits=LIMIT_ONE)
    entered = asyncio.Event()

    async def hold() -> None:
        async with gate.syscall(CALL):
            entered.set()
            await asyncio.Event().wait()

    holder, waiter, last = (asyncio.create_task(hold()) for _ in range(3))
    await entered.wait()
    await asyncio.sleep(0)
    assert llm(gate)["waiting"] == 2
    waiter.cancel()
    await asyncio.gather(waiter, return_exceptions=True)
    assert llm(gate)["waiting"] == 1
    entered.clear()
    holder.cancel()
    await asyncio.wait_for(entered.wait(), PATIENCE)
    last.cancel()
    await asyncio.gather(holder, last, return_exceptions=True)
    assert llm(gate)["running"] == llm(gate)["waiting"] == 0


async def test_a_task_cancelled_in_the_moment_of_its_grant_gives_it_back(make: Make):
    """The grant that crosses a cancellation on its way is not lost."""
    gate = make(limits=LIMIT_ONE)

    async def wait() -> None:
        async with gate.syscall(CALL):
            pytest.fail("the cancelled task must not enter")

    async with gate.syscall(CALL):
        waiter = asyncio.create_task(wait())
        await asyncio.sleep(0)
    # The grant has been given, the task has not run since: cancel it now.
    waiter.cancel()
    await asyncio.gather(waiter, return_exceptions=True)
    assert llm(gate)["running"] == 0
    async with gate.syscall(CALL):
        pass


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning", "ignore:coroutine:RuntimeWarning")
def test_a_waiter_whose_event_loop_was_closed_is_passed_over(make: Make):
    """A grant meant for a coroutine of a closed loop goes to the next waiter."""
    gate = make(limits=LIMIT_ONE)
    loop = asyncio.new_event_loop()

    async def wait() -> None:
        async with gate.syscall(CALL):
            pytest.fail("nobody is there to enter")

    held = threading.Event()
    free = threading.Event()

    def hold() -> None:
        with gate.syscall(CALL):
            held.set()
            free.wait(PATIENCE)

    holder = threading.Thread(target=hold)
    holder.start()
    held.wait(PATIENCE)
    waiting = loop.create_task(wait())
    loop.run_until_complete(asyncio.sleep(0))
    loop.close()
    free.set()
    holder.join(PATIENCE)
    assert llm(gate)["waiting"] == llm(gate)["running"] == 0
    with gate.syscall(CALL):
        pass
    vars_of: Any = waiting
    vars_of._log_destroy_pending = False  # it is left pending on purpose


def test_a_kept_grant_is_given_back_by_release_and_by_the_garbage_collector(make: Make):
    """A stream's grant outlives its block; release() and being dropped both give it back, exactly once."""
    gate = make(limits=LIMIT_ONE)
    with gate.syscall(CALL) as grant:
        grant.keep()
    assert llm(gate)["running"] == 1
    grant.release()
    grant.release()
    assert llm(gate)["running"] == 0
    with gate.syscall(CALL) as dropped:
        dropped.keep()
    del dropped
    gc.collect()
    assert llm(gate)["running"] == 0


def test_a_call_inside_an_open_call_of_the_same_resource_borrows_its_slot(make: Make):
    """With one slot, a call made while reading one's own stream is granted instead of waiting for itself for ever."""
    gate = make(limits=LIMIT_ONE)
    with gate.syscall(CALL) as stream:
        stream.keep()
    with gate.syscall(CALL), gate.syscall(CALL):
        assert llm(gate)["overcommitted"] == 2
    stream.release()
    with gate.syscall(CALL):
        pass
    assert llm(gate)["overcommitted"] == 2


async def test_children_of_an_open_call_borrow_its_slot_one_at_a_time(make: Make):
    """Twenty children of a call that holds the only slot all run, never more than one beside it."""
    gate = make(limits=LIMIT_ONE)
    running = most = 0

    async def child() -> None:
        nonlocal running, most
        async with gate.syscall(CALL):
            running += 1
            most = max(most, running)
            await asyncio.sleep(0)
            running -= 1

    async with gate.syscall(CALL):
        await asyncio.wait_for(asyncio.gather(*(child() for _ in range(20))), PATIENCE)
    assert most == 1
    assert llm(gate)["running"] == 0


async def test_a_synchronous_call_on_the_loop_s_thread_cannot_deadlock_with_the_loop(make: Make):
    """A sync call while a coroutine of the same loop holds the slot, or is next in line, is let through."""
    gate = make(limits=LIMIT_ONE)
    hold, held = asyncio.Event(), asyncio.Event()

    async def holder() -> None:
        async with gate.syscall(CALL):
            held.set()
            await hold.wait()

    tasks = [asyncio.create_task(holder()) for _ in range(2)]
    await held.wait()
    await asyncio.sleep(0)
    with gate.syscall(CALL):  # blocks the loop: nobody else could give the slot back
        pass
    hold.set()
    await asyncio.wait_for(asyncio.gather(*tasks), PATIENCE)
    assert llm(gate)["overcommitted"] == 1


def test_a_tool_that_calls_the_model_cannot_deadlock(make: Make):
    """Resources have separate queues: tool -> LLM -> tool with one slot each goes through."""
    gate = make(limits={"*": {"in_flight": 1}})
    with gate.syscall(ToolCall(name="t")), gate.syscall(CALL), gate.syscall(ToolCall(name="t")):
        pass
    assert gate.status().syscalls == {"tool": 2, "llm": 1}


def test_the_check_refuses_and_fails_closed(make: Make):
    """A check that raises AccessDenied refuses with its words; one that breaks refuses too."""

    def check(call: Any, process: object) -> None:
        if isinstance(call, ToolCall):
            message = "no tools today"
            raise AccessDenied(message)
        if call.model == "broken":
            raise KeyError(call.model)

    gate = make(checks=(check,))
    with pytest.raises(AccessDenied, match="no tools today"), gate.syscall(ToolCall(name="t")):
        pass
    with pytest.raises(AccessDenied, match="KeyError"), gate.syscall(ChatCall(model="broken")):
        pass
    with gate.syscall(CALL):
        pass


def test_a_full_queue_refuses_the_next_and_serves_the_rest(make: Make):
    """QueueFull says what to do; those that wait are served."""
    gate = make(limits=LIMIT_ONE, max_waiting=1)
    done = threading.Event()

    def waiter() -> None:
        with gate.syscall(CALL):
            done.set()

    with gate.syscall(CALL):
        thread = threading.Thread(target=waiter)
        thread.start()
        wait_until(lambda: llm(gate)["waiting"] == 1)
        refused: list[BaseException] = []
        other = threading.Thread(target=lambda: refused.append(_error_of(gate)))
        other.start()
        other.join(PATIENCE)
        assert isinstance(refused[0], QueueFull)
        assert "max_waiting" in str(refused[0])
    assert done.wait(PATIENCE)
    thread.join(PATIENCE)


def test_close_wakes_every_waiter_and_refuses_what_comes_later(make: Make):
    """Threads that wait are woken with KernelClosed, each with an exception object of its own."""
    gate = make(limits=LIMIT_ONE)
    errors: list[BaseException] = []
    threads = [threading.Thread(target=lambda: errors.append(_error_of(gate))) for _ in range(8)]
    with gate.syscall(CALL):
        for thread in threads:
            thread.start()
        wait_until(lambda: llm(gate)["waiting"] == 8)
        gate.close()
        for thread in threads:
            thread.join(PATIENCE)
    assert [type(error) for error in errors] == [KernelClosed] * 8
    assert len({id(error) for error in errors}) == 8
    with pytest.raises(KernelClosed), gate.syscall(CALL):
        pass
    gate.close()


def test_bad_configuration_names_the_remedy():
    """Unknown policies, cores and limits fail at construction with the known names in the message."""
    with pytest.raises(UnknownName, match="fifo"):
        Kernel(policy="fifi")
    with pytest.raises(UnknownName, match="embedded"):
        Kernel(llm="embeded")
    with pytest.raises(UnknownName, match="in_flight"):
        Kernel(limits={"llm:*": {"inflight": 3}})
    with pytest.raises(ConfigError, match="1 or more"):
        Kernel(limits={"llm:*": {"rpm": 0}})
    with pytest.raises(ValueError, match="priority"):
        Agent(name="a", priority=0)


def test_a_syscall_is_entered_once(make: Make):
    """Entering the same syscall twice is a programming error, said clearly."""
    gate = make()
    entry = gate.syscall(CALL)
    with entry, pytest.raises(RuntimeError, match="once"):
        entry.__enter__()


def _error_of(gate: Any) -> BaseException:
    try:
        with gate.syscall(CALL):
            return RuntimeError("granted")
    except Exception as error:  # noqa: BLE001
        return error
