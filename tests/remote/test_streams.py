"""Served calls over the channel: pieces as they come, readers that leave, stop or are slow, and cores that fail."""

from __future__ import annotations

import asyncio
import gc
import threading
import time
from typing import Any

import pytest

from aios_integrations.server._held import MOST_KEPT, ROOM
from aios_kernel import ChatCall, CoreError, Delta, EmbeddingCall, Reply, ToolRequest, Usage
from aios_kernel.cores.base import Core
from aios_kernel.cores.scripted import ScriptedCore
from aios_kernel.scheduling import FixedLimiter
from tests.remote.conftest import Rig
from tests.support.waiting import PATIENCE, wait_until

STREAM = ChatCall(model="m", stream=True)


class Stepped(Core):
    """Emit a word each time it is told to, and note when a call is cancelled."""

    def __init__(self) -> None:
        super().__init__("stepped")
        self.jobs: list[Any] = []
        self.cancelled = threading.Event()

    def start(self, job: Any) -> None:
        job.on_cancel(lambda: (self.cancelled.set(), job.fail(CoreError("cancelled"))))
        self.jobs.append(job)


def test_replies_and_vectors_arrive_as_they_were(rig: Rig) -> None:
    """Text, tool calls, usage and vectors are equal to what the core made."""
    made = Reply(
        text="see \U0001f600",
        tool_calls=(ToolRequest(id="1", name="t", arguments="{}"),),
        finish_reason="tool_calls",
        usage=Usage(input_tokens=2, output_tokens=1, cached_tokens=1),
        vectors=((0.5, -1.0),),
    )
    gate = rig.serve(llm=ScriptedCore(lambda call: made))
    for call in (ChatCall(model="m"), EmbeddingCall(model="m", inputs=["x"])):
        with gate.syscall(call) as grant:
            assert not grant.lease
            assert grant.reply() == made


async def test_a_stream_is_the_same_as_in_one_process(rig: Rig) -> None:
    """Sync and async readers get the very pieces that the embedded kernel gives."""
    gate = rig.serve(llm=ScriptedCore(lambda call: "one two  three"))
    async with rig.kernel.syscall(STREAM) as grant:
        expected = [delta async for delta in grant.adeltas()]
    async with gate.syscall(STREAM) as grant:
        assert [delta async for delta in grant.adeltas()] == expected
    with gate.syscall(STREAM) as grant:
        assert list(grant.deltas()) == expected


def test_a_piece_is_read_before_the_next_is_made(rig: Rig) -> None:
    """Nothing is held back: the reader has the first word while the model has not begun the second."""
    core = Stepped()
    gate = rig.serve(llm=core)
    with gate.syscall(STREAM) as grant:
        deltas = iter(grant.deltas())
        for word in ("one ", "two "):
            core.jobs[0].emit(Delta(text=word))
            assert next(deltas).text == word
        core.jobs[0].finish(Reply(text="one two "))
        assert [delta.finish_reason for delta in deltas] == ["stop"]


@pytest.mark.parametrize("way", ["close", "exception", "drop", "cancel"])
async def test_a_stream_left_early_is_cancelled_at_the_core(rig: Rig, way: str) -> None:
    """Closing, failing inside, dropping and cancelling a half-read stream each stop the model."""
    core = Stepped()
    gate = rig.serve(llm=core)
    read_one = asyncio.Event()

    async def read() -> None:
        async with gate.syscall(STREAM) as grant:
            async for _ in grant.adeltas():
                read_one.set()
                if way == "exception":
                    raise ValueError("enough")

    if way in {"exception", "cancel"}:
        task = asyncio.create_task(read())
        await asyncio.to_thread(wait_until, lambda: core.jobs)
        core.jobs[0].emit(Delta(text="x"))
        if way == "cancel":
            await read_one.wait()
            task.cancel()
        await asyncio.gather(task, return_exceptions=True)
    else:
        with gate.syscall(STREAM) as grant:
            deltas: Any = grant.keep().deltas()
        core.jobs[0].emit(Delta(text="x"))
        next(deltas)
        if way == "close":
            deltas.close()
        del deltas, grant
        gc.collect()
    assert await asyncio.to_thread(core.cancelled.wait, PATIENCE)
    wait_until(lambda: rig.kernel.status().resources[0]["running"] == 0)


def test_a_slow_reader_keeps_its_pieces_and_holds_up_nobody(rig: Rig) -> None:
    """Only so many pieces travel ahead of a reader; the rest waits at the server, and other calls are as quick as ever."""
    core = Stepped()
    gate = rig.serve(llm={"slow": core, "*": ScriptedCore(lambda call: "quick")})
    count = 4 * ROOM
    with gate.syscall(ChatCall(model="slow", stream=True)) as grant:
        for number in range(count):
            core.jobs[0].emit(Delta(text=f"{number} "))
        core.jobs[0].finish(Reply(text="all"))
        begun = time.monotonic()
        with gate.syscall(ChatCall(model="other")) as other:
            assert other.reply().text == "quick"
        assert time.monotonic() - begun < 5
        ticket: Any = grant._ticket  # pyright: ignore[reportAttributeAccessIssue]
        assert len(ticket._items) <= ROOM
        held = next(iter(rig.server.channel.clients[0]._held.values()))
        assert len(held._items) == count - ROOM + 1
        texts = [delta.text for delta in grant.deltas()]
    assert texts == [*(f"{number} " for number in range(count)), ""]


def test_a_reader_that_stopped_reading_loses_its_call_not_the_server_its_memory(rig: Rig) -> None:
    """Beyond the bound that call is cancelled with a clear error; what was kept is still delivered first."""
    core = Stepped()
    gate = rig.serve(llm=core)
    with gate.syscall(STREAM) as grant:
        for _ in range(MOST_KEPT + 2 * ROOM):
            core.jobs[0].emit(Delta(text="x"))
        assert core.cancelled.wait(PATIENCE)
        with pytest.raises(CoreError, match="behind"):
            for _ in grant.deltas():
                pass
    wait_until(lambda: rig.kernel.status().resources[0]["running"] == 0)


def test_a_process_that_stands_still_holds_up_nobody(rig: Rig) -> None:
    """A stopped client process does not read its socket: the server keeps serving the others, within its bounds."""
    import signal

    core = Stepped()
    gate = rig.serve(llm={"slow": core, "*": ScriptedCore(lambda call: "quick")})
    program = rig.program("""
with kernel.syscall(ChatCall(model="slow", stream=True)) as grant:
    print("granted", flush=True)
    print(sum(len(delta.text) for delta in grant.deltas()), flush=True)
""")
    assert program.stdout is not None
    assert program.stdout.readline() == "granted\n"
    program.send_signal(signal.SIGSTOP)
    big = "x" * 100_000
    for _ in range(100):
        core.jobs[0].emit(Delta(text=big))
    core.jobs[0].finish(Reply(text="all"))
    for _ in range(5):
        with gate.syscall(ChatCall(model="other")) as other:
            assert other.reply().text == "quick"
    program.send_signal(signal.SIGCONT)
    assert program.stdout.readline() == "10000000\n"


def test_a_core_s_failure_is_the_caller_s(rig: Rig) -> None:
    """The kernel's error crosses with its class and words; the next call is served."""
    replies = iter([None, "fine"])

    def script(call: Any) -> str:
        answer = next(replies)
        if answer is None:
            raise RuntimeError("broken")
        return answer

    gate = rig.serve(llm=ScriptedCore(script, limiter=FixedLimiter(1)))
    with pytest.raises(CoreError, match="broken"), gate.syscall(ChatCall(model="m")) as grant:
        grant.reply()
    with gate.syscall(ChatCall(model="m")) as grant:
        assert grant.reply().text == "fine"
    with gate.syscall(ChatCall(model="m")) as grant, pytest.raises(CoreError, match=r"used up|script"):
        grant.reply()
