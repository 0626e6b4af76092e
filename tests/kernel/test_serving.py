"""Served calls: replies and streams for threads and event loops, and what is given back when they are left early."""

from __future__ import annotations

import asyncio
import gc
import os
import signal
import subprocess
import sys
import threading
from typing import Any

import pytest

from aios_kernel import (
    Agent,
    ChatCall,
    ConfigError,
    CoreError,
    Kernel,
    KernelClosed,
    MockClock,
    Reply,
    ToolCall,
    ToolRequest,
    Usage,
)
from aios_kernel.cores.base import Core
from aios_kernel.cores.scripted import ScriptedCore
from tests.support.waiting import PATIENCE, wait_until

STREAM = ChatCall(model="m", stream=True)


class Endless(Core):
    """Emit words until the call is cancelled; `ended` counts the jobs that were."""

    def __init__(self) -> None:
        super().__init__("endless")
        self.ended = threading.Semaphore(0)

    def start(self, job) -> None:
        threading.Thread(target=self.run, args=(job,), daemon=True).start()

    def run(self, job) -> None:
        cancelled = threading.Event()
        job.on_cancel(cancelled.set)
        from aios_kernel import Delta

        while not cancelled.wait(0.001):
            job.emit(Delta(text="x"))
        job.fail(CoreError("cancelled"))
        self.ended.release()


def test_a_reply_carries_text_tool_calls_and_usage():
    """What the script says arrives whole, with usage counted and charged to the agent."""
    reply = Reply(text="see", tool_calls=(ToolRequest(id="1", name="t", arguments="{}"),))
    kernel = Kernel(llm=ScriptedCore([reply]))
    with kernel.syscall(ChatCall(model="m", messages=[{"role": "user", "content": "12345678"}])) as grant:
        assert not grant.lease
        answer = grant.reply()
    assert (answer.text, answer.tool_calls, answer.finish_reason) == ("see", reply.tool_calls, "tool_calls")
    assert answer.usage == Usage(input_tokens=2, output_tokens=1)
    assert kernel.processes.root.usage == answer.usage


async def test_streams_give_the_text_piece_by_piece_and_end_with_usage():
    """Sync and async streams carry the same pieces; the last one has the finish reason and the usage."""
    kernel = Kernel(llm=ScriptedCore(lambda call: "one two  three"))
    async with kernel.syscall(STREAM) as grant:
        deltas = [delta async for delta in grant.adeltas()]
    with kernel.syscall(STREAM) as grant:
        assert list(grant.deltas()) == deltas
    assert "".join(delta.text for delta in deltas) == "one two  three"
    assert len(deltas) == 4
    assert deltas[-1].finish_reason == "stop"
    assert deltas[-1].usage is not None


def fail_while_reading(kernel: Kernel) -> None:
    """Raise in the middle of a stream."""
    with kernel.syscall(STREAM) as grant:
        for _ in grant.deltas():
            raise ValueError("enough")


@pytest.mark.parametrize("way", ["close", "exception", "drop"])
def test_a_stream_left_early_stops_the_core_and_frees_the_slot(way: str):
    """Closing, failing inside and dropping a half-read stream each cancel the job."""
    core = Endless()
    kernel = Kernel(llm=core)
    if way == "exception":
        with pytest.raises(ValueError, match="enough"):
            fail_while_reading(kernel)
    else:
        with kernel.syscall(STREAM) as grant:
            deltas: Any = grant.keep().deltas()
        next(deltas)
        if way == "close":
            deltas.close()
        del deltas, grant
        gc.collect()
    assert core.ended.acquire(timeout=PATIENCE)
    assert kernel.status().resources[0]["running"] == 0


async def test_a_cancelled_task_stops_its_service():
    """Cancelling the task that reads a reply or a stream cancels the job."""
    core = Endless()
    kernel = Kernel(llm=core)
    started = asyncio.Event()

    async def read() -> None:
        async with kernel.syscall(STREAM) as grant:
            async for _ in grant.adeltas():
                started.set()

    async def wait() -> None:
        async with kernel.syscall(STREAM) as grant:
            await grant.areply()

    tasks = [asyncio.create_task(read()), asyncio.create_task(wait())]
    await asyncio.wait_for(started.wait(), PATIENCE)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    for _ in tasks:
        assert await asyncio.to_thread(core.ended.acquire, timeout=PATIENCE)
    assert kernel.status().resources[0]["running"] == 0


def test_a_slow_reader_holds_no_slot():
    """The slot is free when the core is done, whether or not the reply was read: a reader cannot starve others."""
    from aios_kernel.scheduling import FixedLimiter

    kernel = Kernel(llm=ScriptedCore(lambda call: "done", limiter=FixedLimiter(1)))
    with kernel.syscall(STREAM) as unread, kernel.syscall(STREAM) as other:
        assert other.reply().text == "done"
        assert unread.reply().text == "done"


def test_a_service_needs_no_help_from_its_caller_s_loop():
    """A sync call on the loop's thread is served although a coroutine of that loop was granted before it."""
    clock = MockClock()
    from aios_kernel.scheduling import FixedLimiter

    kernel = Kernel(llm=ScriptedCore(lambda call: call.model, latency=1.0, clock=clock, limiter=FixedLimiter(1)))

    async def main() -> list[str]:
        async def first() -> str:
            async with kernel.syscall(ChatCall(model="async")) as grant:
                return (await grant.areply()).text

        tasks = [asyncio.create_task(first()) for _ in range(2)]
        await asyncio.sleep(0)
        threading.Thread(target=lambda: [clock.advance(1.0) or pause() for _ in range(10)], daemon=True).start()
        with kernel.syscall(ChatCall(model="sync")) as grant:
            text = grant.reply().text
        return [text, *await asyncio.gather(*tasks)]

    pause = lambda: threading.Event().wait(0.02)  # noqa: E731
    assert asyncio.run(asyncio.wait_for(main(), PATIENCE)) == ["sync", "async", "async"]


def test_routes_decide_by_model_with_a_default_and_leases():
    """First matching pattern wins; "lease" leaves a model to its own endpoint; what a core cannot do is leased."""

    class ChatOnly(ScriptedCore):
        operations = frozenset({"chat"})

    from aios_kernel import EmbeddingCall

    kernel = Kernel(
        llm={
            "gpt-*": ScriptedCore(lambda call: "gpt", name="a"),
            "own": "lease",
            "*": ChatOnly(lambda call: "any", name="b"),
        }
    )
    answers = []
    for model in ("gpt-4o", "other"):
        with kernel.syscall(ChatCall(model=model)) as grant:
            answers.append(grant.reply().text)
    assert answers == ["gpt", "any"]
    for call in (ChatCall(model="own"), EmbeddingCall(model="e", inputs=["x"])):
        with kernel.syscall(call) as grant:
            assert grant.lease


def test_asking_a_lease_for_a_reply_says_so():
    """A lease has no reply to give; the error tells what to do instead."""
    with Kernel().syscall(ChatCall()) as grant, pytest.raises(CoreError, match="lease"):
        grant.reply()


def test_close_ends_what_is_being_served():
    """A caller that waits for a reply when the kernel closes gets KernelClosed."""
    kernel = Kernel(llm=ScriptedCore(lambda call: "late", latency=3600.0))
    errors: list[BaseException] = []

    def wait() -> None:
        try:
            with kernel.syscall(ChatCall()) as grant:
                grant.reply()
        except KernelClosed as error:
            errors.append(error)

    thread = threading.Thread(target=wait)
    thread.start()
    wait_until(lambda: kernel.status().resources[0]["running"])
    kernel.close()
    thread.join(PATIENCE)
    assert len(errors) == 1


FORK = """
import os, sys, threading
from aios_kernel import Agent, ChatCall, Kernel
from aios_kernel.cores.scripted import ScriptedCore
kernel = Kernel(llm={"served": ScriptedCore(lambda call: "hello", latency=0.01)}, limits={"llm:*": {"in_flight": 1}})
kernel.bus.subscribe(lambda event: None)
ready, stop = threading.Event(), threading.Event()
def hold():
    with kernel.syscall(ChatCall(model="m")):
        ready.set(); stop.wait()
threads = [threading.Thread(target=hold, daemon=True) for _ in range(3)]
for t in threads: t.start()
ready.wait()
with kernel.syscall(ChatCall(model="served")) as grant: grant.reply()
pid = os.fork()
if pid == 0:
    assert kernel.status().syscalls == {} and not kernel.bus.active
    with kernel.syscall(ChatCall(model="m")) as grant: assert grant.lease   # the parent's holder is not here
    with kernel.syscall(ChatCall(model="served")) as grant: assert grant.reply().text == "hello"
    os._exit(7)
status = os.waitpid(pid, 0)[1]
assert kernel.status().syscalls["llm"] == 2
stop.set()
for t in threads: t.join(10)
assert kernel.status().syscalls["llm"] == 4, kernel.status()
sys.exit(os.waitstatus_to_exitcode(status))
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
def test_a_forked_child_starts_with_a_fresh_kernel():
    """In the child nothing of the parent's calls exists, and its own calls are granted and served."""
    run = subprocess.run([sys.executable, "-c", FORK], timeout=60, capture_output=True, text=True, check=False)
    assert run.returncode == 7, run.stderr


EXIT = """
import threading, time
from aios_kernel import ChatCall, Kernel
kernel = Kernel(limits={"llm:*": {"in_flight": 1}})
with kernel.syscall(ChatCall()) as grant: grant.keep()
def wait():
    try:
        with kernel.syscall(ChatCall()): pass
    except BaseException as error: print(type(error).__name__, flush=True)
thread = threading.Thread(target=wait, daemon=True); thread.start()
while not kernel.status().resources[0]["waiting"]: time.sleep(0.01)
import atexit
atexit.register(print, "leaving", flush=True)
WAIT
"""


def test_the_interpreter_exits_although_calls_wait():
    """At exit the kernel closes by itself: the program ends with its own exit code."""
    run = subprocess.run(
        [sys.executable, "-c", EXIT.replace("WAIT", "")], timeout=60, capture_output=True, text=True, check=False
    )
    assert (run.returncode, run.stderr) == (0, "")
    assert "leaving" in run.stdout


@pytest.mark.skipif(sys.platform == "win32", reason="POSIX signals")
def test_ctrl_c_while_waiting_leaves_the_queue():
    """A main thread that waits for its turn reacts to SIGINT at once with KeyboardInterrupt."""
    program = EXIT.replace("WAIT", "print('ready', flush=True)\nwith kernel.syscall(ChatCall()): pass").replace(
        "with kernel.syscall(ChatCall()) as grant: grant.keep()",
        "holder = __import__('contextvars').copy_context().run(lambda: kernel.syscall(ChatCall()).__enter__().keep())",
    )
    process = subprocess.Popen(
        [sys.executable, "-c", program], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    process.send_signal(signal.SIGINT)
    try:
        _, errors = process.communicate(timeout=PATIENCE)
    finally:
        process.kill()
    assert "KeyboardInterrupt" in errors
    assert process.returncode in {-signal.SIGINT, 1, 130}


def test_agents_choose_their_scheduling_class():
    """An agent with a policy of its own is put in that class, and both kinds of agents are served."""
    kernel = Kernel(policy="fifo", limits={"llm:*": {"in_flight": 1}})
    order: list[str] = []

    def wait(name: str, policy: str | None) -> None:
        with kernel.syscall(ChatCall(agent=Agent(name=name, policy=policy))):
            order.append(name)

    threads = [threading.Thread(target=wait, args=(f"a{n}", "las" if n % 2 else None)) for n in range(6)]
    with kernel.syscall(ChatCall()):
        for thread in threads:
            thread.start()
        wait_until(lambda: kernel.status().resources[0]["waiting"] == 6)
    for thread in threads:
        thread.join(PATIENCE)
    assert sorted(order) == [f"a{n}" for n in range(6)]


def test_events_tell_the_life_of_a_call():
    """Submit, grant, first token, finish, with who, what and where; tools under their name."""
    kernel = Kernel(llm=ScriptedCore(lambda call: "hi"))
    events = []
    unsubscribe = kernel.bus.subscribe(events.append)
    with kernel.syscall(ChatCall(model="m", agent=Agent(name="ann"), stream=True)) as grant:
        list(grant.deltas())
    unsubscribe()
    with kernel.syscall(ToolCall(name="unseen")):
        pass
    assert [event.name for event in events] == ["spawn", "submit", "grant", "first_token", "finish"]
    finish = events[-1]
    assert (finish.agent, finish.kind, finish.label, finish.resource) == ("ann", "llm", "chat m", "scripted")
    assert finish.details["usage"].output_tokens == 1
    assert all(event.content is None for event in events)


def test_a_timeout_is_counted_from_submission_on_the_injected_clock():
    """The deadline timer is dropped once the call is granted."""
    clock = MockClock()
    kernel = Kernel(clock=clock)
    with kernel.syscall(ChatCall(timeout=1.0)):
        clock.advance(5.0)
    assert clock.next_timer() is None


def test_content_is_recorded_only_by_choice():
    """Events carry the call and the reply with record_content, and nothing of them without."""
    events: dict[bool, list[object]] = {}
    for choice in (False, True):
        kernel = Kernel(llm=ScriptedCore(lambda call: "the answer"), record_content=choice)
        seen = events[choice] = []
        kernel.bus.subscribe(lambda event, seen=seen: seen.append(event.content))
        with kernel.syscall(ChatCall(messages=[{"role": "user", "content": "the question"}])) as grant:
            grant.reply()
    assert set(events[False]) == {None}
    assert "the question" in str(events[True])
    assert "the answer" in str(events[True])


def test_two_cores_of_one_name_are_refused():
    """Routing by name must not make two cores one."""
    with pytest.raises(ConfigError, match="another name"):
        Kernel(llm={"a": ScriptedCore([]), "b": ScriptedCore([])})


@pytest.mark.parametrize("pattern", ["llm:*", "endless", "llm:endless"])
def test_limits_and_policies_for_models_hold_for_cores_too(pattern):
    """A core that serves is an "llm:NAME" to patterns; its own limits hold beside those it is given."""
    kernel = Kernel(llm=Endless(), limits={pattern: {"in_flight": 1}}, policies={pattern: "wfq"})
    granted = threading.Event()

    def wait() -> None:
        with kernel.syscall(STREAM):
            granted.set()

    with kernel.syscall(STREAM):
        row = next(row for row in kernel.status().resources if row["resource"] == "endless")
        assert (row["limit"], row["policy"]) == (1, "wfq")
        thread = threading.Thread(target=wait, daemon=True)
        thread.start()
        wait_until(lambda: kernel.status().resources[0]["waiting"] == 1)
        assert not granted.is_set()
    thread.join(PATIENCE)
    assert granted.is_set()
    kernel.use_policy("rr", pattern)
    assert kernel.status().resources[0]["policy"] == "rr"
    kernel.close()
