"""Managers: calls they name are served in threads of theirs, as the calling agent; leases, failures and ends are as with cores."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import pytest

from aios_kernel.abi import Agent, MemoryCall, ToolCall
from aios_kernel.errors import AccessDenied, CoreError, KernelClosed
from aios_kernel.identity import current_agent
from aios_kernel.kernel import Kernel
from aios_kernel.managers import Manager
from tests.support.waiting import wait_until


class Echo(Manager):
    """Answers with what it is asked, and keeps who asked."""

    kinds = frozenset({"memory", "tool"})

    def __init__(self):
        super().__init__("echo")
        self.asked = []

    def handle(self, call: Any, process):
        agent = current_agent.get()
        assert agent is not None
        self.asked.append((process.name, agent.name, threading.current_thread().name))
        if isinstance(call, ToolCall):
            return call.arguments()
        return dict(call.arguments)


@pytest.fixture
def echo():
    return Echo()


@pytest.fixture
def kernel(echo):
    kernel = Kernel(managers=[echo])
    yield kernel
    kernel.close()


def _add(**fields):
    return MemoryCall(agent=Agent(name="ann"), verb="add", arguments={"x": 1}, **fields)


def test_a_managed_call_is_served(kernel, echo):
    """The reply carries the manager's data; it ran as the agent, in another thread."""
    with kernel.syscall(_add()) as grant:
        assert not grant.lease
        assert grant.reply().data == {"x": 1}
    assert [asked[:2] for asked in echo.asked] == [("ann", "ann")]
    assert echo.asked[0][2].startswith("aios-echo")
    assert kernel.status().syscalls == {"memory": 1}
    assert not kernel.running


async def test_in_event_loops(kernel):
    """A hundred at once, in one loop."""

    async def one():
        async with kernel.syscall(_add()) as grant:
            return (await grant.areply()).data

    assert await asyncio.gather(*(one() for _ in range(100))) == [{"x": 1}] * 100


def test_a_caller_may_do_the_work_itself(kernel, echo):
    """A call that asks for a lease is one, and a kind that no manager names is one."""
    with kernel.syscall(_add(lease=True)) as grant:
        assert grant.lease
    with Kernel(managers=[echo]).syscall(ToolCall(name="t", lease=True)) as grant:
        assert grant.lease
    assert echo.asked == []


@pytest.mark.parametrize(
    ("raised", "seen"),
    [(AccessDenied("no"), AccessDenied), (ZeroDivisionError("zero"), CoreError), (SystemExit(3), CoreError)],
)
def test_what_a_manager_raises(kernel, raised, seen):
    """Refusals arrive as they are, other errors as the core's, and the slot is given back; other calls go on."""

    def fail():
        raise raised

    # One that is quick to fail has failed when its caller wakes.
    with pytest.raises(seen), kernel.syscall(ToolCall(name="t", arguments=fail)) as grant:
        grant.reply()
    with kernel.syscall(_add()) as grant:
        assert grant.reply().data == {"x": 1}
    wait_until(lambda: not kernel.running)


def test_closing_wakes_whoever_waits():
    """A closed kernel leaves nobody asleep, and a call after it is refused."""
    kernel = Kernel(managers=[Echo()], limits={"tool:t": {"in_flight": 1}})
    inside, leave, ends = threading.Event(), threading.Event(), []

    def slow():
        inside.set()
        leave.wait(30)

    def call():
        try:
            with kernel.syscall(ToolCall(name="t", arguments=slow)) as grant:
                grant.reply()
            ends.append("done")
        except KernelClosed:
            ends.append("closed")

    threads = [threading.Thread(target=call) for _ in range(2)]
    threads[0].start()
    assert inside.wait(30)
    threads[1].start()
    wait_until(lambda: any(row["waiting"] for row in kernel.status().resources))
    kernel.close()
    leave.set()
    for thread in threads:
        thread.join(30)
    assert sorted(ends) == ["closed", "done"]
    with pytest.raises(KernelClosed):
        kernel.syscall(_add()).__enter__()


def test_tools_have_a_queue_each():
    """A limited tool that is busy does not hold up another."""
    kernel = Kernel(managers=[Echo()], limits={"tool:slow": {"in_flight": 1}})
    inside, leave = threading.Event(), threading.Event()

    def slow():
        inside.set()
        leave.wait(30)
        return "slow"

    with kernel.syscall(ToolCall(name="slow", arguments=slow)) as first:
        assert inside.wait(30)
        with kernel.syscall(ToolCall(name="quick", arguments=lambda: "quick")) as second:
            assert second.reply().data == "quick"
        leave.set()
        assert first.reply().data == "slow"
    kernel.close()
