"""Many callers at once: threads, tasks and processes, calls inside calls, refusals and cancellations in storms."""

from __future__ import annotations

import asyncio
import random
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from aios_adapters.remote import RemoteKernel
from aios_kernel import Agent, ChatCall, Kernel, MockClock, ToolCall
from tests.remote.conftest import CALL, Rig
from tests.support.waiting import PATIENCE, wait_until

LIMIT_ONE = {"llm:*": {"in_flight": 1}}


def test_threads_and_tasks_together_never_exceed_the_limit(rig: Rig) -> None:
    """32 threads and 32 tasks through 3 slots: all are served, and nothing is left behind."""
    gate = rig.serve(limits={"llm:*": {"in_flight": 3}})
    lock, running, most = threading.Lock(), 0, 0

    def step(by: int) -> None:
        nonlocal running, most
        with lock:
            running += by
            most = max(most, running)

    def in_thread(_: int) -> None:
        for _ in range(5):
            with gate.syscall(CALL):
                step(1)
                step(-1)

    async def in_task() -> None:
        for _ in range(5):
            async with gate.syscall(CALL):
                step(1)
                await asyncio.sleep(0)
                step(-1)

    async def tasks() -> None:
        await asyncio.gather(*(in_task() for _ in range(32)))

    with ThreadPoolExecutor(33) as pool:
        loop = pool.submit(lambda: asyncio.run(tasks()))
        list(pool.map(in_thread, range(32), timeout=PATIENCE))
        loop.result(PATIENCE)
    assert 1 <= most <= 3
    assert gate.status().syscalls == {"llm": 320}
    assert rig.llm("running") == rig.llm("waiting") == 0


async def test_a_storm_of_cancellations_leaves_nothing_behind(rig: Rig) -> None:
    """300 tasks cancelled at random moments: no slot and no place in the queue is lost."""
    gate = rig.serve(limits={"llm:*": {"in_flight": 2}})
    dice = random.Random(7)

    async def one() -> None:
        async with gate.syscall(CALL):
            await asyncio.sleep(dice.random() * 0.01)

    tasks = [asyncio.create_task(one()) for _ in range(300)]
    for task in dice.sample(tasks, 200):
        await asyncio.sleep(dice.random() * 0.002)
        task.cancel()
    results = await asyncio.wait_for(asyncio.gather(*tasks, return_exceptions=True), PATIENCE)
    assert not [result for result in results if isinstance(result, Exception)]
    async with gate.syscall(CALL):
        pass
    rows = gate.status().resources  # after all that this client has sent
    assert rows[0]["running"] == rows[0]["waiting"] == 0
    assert not rig.server.channel.clients[0].calls


def test_clients_come_and_go_while_others_call(rig: Rig) -> None:
    """40 connections of four calls each, some ended with calls open: those that stay are served as if alone."""
    gate = rig.serve(limits={"llm:*": {"in_flight": 2}})

    def come(number: int) -> None:
        other = RemoteKernel(rig.server.where)
        for _ in range(3):
            with other.syscall(CALL):
                pass
        with other.syscall(CALL) as grant:
            grant.keep()
            if number % 2:
                grant.release()
        other.close()

    with ThreadPoolExecutor(8) as pool:
        guests = [pool.submit(come, number) for number in range(40)]
        for _ in range(50):
            with gate.syscall(CALL):
                pass
        for guest in guests:
            guest.result(PATIENCE)
    wait_until(lambda: rig.llm("running") == rig.llm("waiting") == 0)
    wait_until(lambda: len(rig.server.channel.clients) == 1)
    assert gate.status().syscalls == {"llm": 210}


def test_a_call_inside_an_open_call_borrows_its_slot_only_at_home(rig: Rig) -> None:
    """The server sees what a call is inside of; another process that calls meanwhile has to wait."""
    gate = rig.serve(limits=LIMIT_ONE)
    program = rig.program("sys.stdin.readline()\nwith kernel.syscall(CALL): print('in', flush=True)")
    assert program.stdin is not None
    assert program.stdout is not None
    with gate.syscall(CALL) as stream:
        stream.keep()
        program.stdin.write("go\n")
        program.stdin.flush()
        wait_until(lambda: rig.llm("waiting") == 1)
        with gate.syscall(CALL), gate.syscall(CALL):
            assert rig.llm("overcommitted") == 2
        assert rig.llm("waiting") == 1
        stream.release()
    assert program.stdout.readline() == "in\n"


async def test_loops_of_two_processes_are_not_one(rig: Rig) -> None:
    """A blocking call is let through for calls of its own loop only, though two loops may have one number."""
    gate, twin = rig.serve(limits=LIMIT_ONE), rig.client()
    done = threading.Event()

    def block() -> None:
        async def main() -> None:
            with twin.syscall(CALL):
                done.set()

        asyncio.run(main())

    async with gate.syscall(CALL):
        thread = threading.Thread(target=block)
        thread.start()
        await asyncio.to_thread(wait_until, lambda: rig.llm("waiting") == 1)
        assert not done.is_set()
    assert await asyncio.to_thread(done.wait, PATIENCE)
    thread.join(PATIENCE)
    assert rig.llm("overcommitted") == 0


@pytest.mark.parametrize("mode", ["sync", "async"])
def test_a_refused_attempt_waits_for_its_turn_while_others_get_through(rig: Rig, mode: str) -> None:
    """The kernel decides for all processes: a dead endpoint is given up, one that serves others is tried again."""
    clock = MockClock()
    gate = rig.serve(limits={"llm:*": {"in_flight": 8}}, clock=clock)
    other = rig.client()

    def push_back(grant: Any, **how: bool) -> bool:
        if mode == "sync":
            return grant.push_back(429, **how)
        return asyncio.run(grant.apush_back(429, **how))

    with gate.syscall(CALL) as grant:
        assert not push_back(grant)  # nobody got through
        assert rig.llm("running") == 1
        with other.syscall(CALL):
            pass
        wait_until(lambda: rig.llm("running") == 1)  # the server has read that it got through
        with ThreadPoolExecutor(1) as pool:
            again = pool.submit(push_back, grant)
            wait_until(lambda: clock.advance(1.0) or again.done())
            assert again.result(PATIENCE)
            once_more = pool.submit(push_back, grant)  # refused right after the turn that the success gave it
            wait_until(lambda: clock.advance(1.0) or once_more.done())
            assert once_more.result(PATIENCE)
            assert not push_back(grant)
            anyway = pool.submit(push_back, grant, anyway=True)
            wait_until(lambda: clock.advance(1.0) or anyway.done())
            assert anyway.result(PATIENCE)
        assert rig.llm("pushed_back") == 3
    assert gate.status().resources[0]["running"] == 0


def test_a_stream_that_began_counts_as_got_through() -> None:
    """A long stream shows that the endpoint is alive before it ends."""
    kernel = Kernel(limits={"llm:*": {"in_flight": 8}})
    with kernel.syscall(ChatCall(model="m")) as grant, kernel.syscall(ChatCall(model="m")) as stream:
        assert not grant.moves
        stream.first_token()
        assert grant.moves


def test_priorities_hold_across_processes(rig: Rig) -> None:
    """Who goes next is decided over all clients."""
    gate = rig.serve(policy="priority", limits=LIMIT_ONE)
    clients = [rig.client() for _ in range(3)]
    order: list[int] = []

    def call(client: RemoteKernel, priority: int) -> None:
        with client.syscall(ChatCall(model="m", agent=Agent(name="a", priority=priority))):
            order.append(priority)

    with gate.syscall(CALL):
        threads = []
        for client, priority in zip(clients, (30, 1, 20), strict=True):
            threads.append(threading.Thread(target=call, args=(client, priority)))
            threads[-1].start()
            wait_until(lambda: rig.llm("waiting") == len(threads))
    for thread in threads:
        thread.join(PATIENCE)
    assert order == [1, 20, 30]


def test_checks_that_take_their_time_hold_up_only_their_call(rig: Rig) -> None:
    """An access check that waits for somebody does not stop the server."""
    go = threading.Event()

    def check(call: Any, process: object) -> None:
        if isinstance(call, ToolCall):
            go.wait(PATIENCE)

    gate = rig.serve(checks=(check,))
    with ThreadPoolExecutor(1) as pool:

        def tool() -> None:
            with gate.syscall(ToolCall(name="t")):
                pass

        slow = pool.submit(tool)
        with gate.syscall(CALL):
            assert not slow.done()
        go.set()
        slow.result(PATIENCE)
