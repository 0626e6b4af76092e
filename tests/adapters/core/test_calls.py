"""The guard and the gate's helpers: exactly once, in every kind of function, and refusals in the right form."""

from __future__ import annotations

import asyncio
import gc
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

import aios_adapters
from aios_adapters import calls
from aios_kernel.abi import ChatCall, ToolCall, Usage
from aios_kernel.cores.scripted import ScriptedCore
from aios_kernel.errors import AccessDenied, CoreError
from aios_kernel.kernel import Kernel


@pytest.fixture
def kernel():
    made = Kernel()
    aios_adapters.enable(kernel=made)
    yield made
    aios_adapters.disable()
    made.close()


def chat(stream: bool = False) -> ChatCall:
    return ChatCall(model="m", stream=stream, messages=[{"role": "user", "content": "hi"}])


def ask(native=lambda: "native", **options):
    return calls.llm_call("x", chat, native, lambda reply: reply.text, **options)


async def aask(native=None, **options):
    async def plain():
        return "native"

    return await calls.allm_call("x", chat, native or plain, lambda reply: reply.text, **options)


def stream(native, **options):
    return calls.llm_stream("x", lambda: chat(stream=True), native, lambda delta: [delta.text], **options)


def astream(native, **options):
    return calls.allm_stream("x", lambda: chat(stream=True), native, lambda delta: [delta.text], **options)


def tool(run, **options):
    return calls.tool_call("x", lambda: ToolCall(name="t"), run, lambda error: f"denied {error}", **options)


def count(kernel) -> dict[str, int]:
    return kernel.status().syscalls


def running(kernel) -> int:
    return sum(queue["running"] for queue in kernel.status().resources)


def test_nested_calls_are_one(kernel):
    """A wrapper inside a wrapper passes through, and the one after it counts again."""
    assert ask(lambda: ask(ask)) == "native"
    assert count(kernel) == {"llm": 1}
    ask()
    assert count(kernel) == {"llm": 2}


async def test_nested_async_calls_are_one(kernel):
    """The same in coroutines, with the inner call in a task or a thread of its own."""

    async def inner():
        await asyncio.gather(aask(), asyncio.create_task(aask()))
        await asyncio.to_thread(ask)
        return await asyncio.get_running_loop().run_in_executor(None, ask)

    assert await aask(inner) == "native"
    assert count(kernel) == {"llm": 1}


def test_nested_streams_are_one(kernel):
    """A stream that reads another stream is one call; its consumer is not inside it."""

    def outer():
        yield from stream(lambda: iter("ab"))

    for _ in stream(outer):
        assert not calls.inside_llm()
        ask()
    assert count(kernel) == {"llm": 3}
    assert running(kernel) == 0


async def test_nested_async_streams_are_one(kernel):
    """The same for asynchronous generators."""

    async def source():
        for letter in "ab":
            assert calls.inside_llm()
            yield letter

    async def outer():
        async for letter in astream(source):
            yield letter

    async for _ in astream(outer):
        assert not calls.inside_llm()
        await aask()
    assert count(kernel) == {"llm": 3}
    assert running(kernel) == 0


def test_a_call_inside_a_tool_is_its_own(kernel):
    """Tool -> LLM -> tool -> LLM is four syscalls."""
    assert tool(lambda: ask(lambda: tool(ask))) == "native"
    assert count(kernel) == {"llm": 2, "tool": 2}


def test_a_method_that_calls_its_base_is_one_tool(kernel):
    """Wrappers of one key around each other are one call; the same key further in is another."""
    assert tool(lambda: tool(lambda: "ran", key=1), key=1) == "ran"
    assert count(kernel) == {"tool": 1}
    tool(lambda: tool(lambda: tool(lambda: 1, key=1), key=2), key=1)
    assert count(kernel) == {"tool": 4}


def test_what_outlives_a_call_is_not_silenced(kernel):
    """A thread started inside a call, still alive after it, makes syscalls of its own."""
    go, thread = threading.Event(), None

    def late():
        go.wait(5)
        ask()

    def native():
        nonlocal thread
        thread = threading.Thread(target=late)
        thread.start()

    ask(native)
    assert thread is not None
    go.set()
    thread.join()
    assert count(kernel) == {"llm": 2}


def test_a_pools_thread_started_inside_a_call_is_clean(kernel):
    """A worker that a call brought up does not believe itself inside that call for ever."""
    with ThreadPoolExecutor(1) as pool:
        ask(lambda: pool.submit(ask).result())
        assert count(kernel) == {"llm": 1}
        pool.submit(ask).result()
    assert count(kernel) == {"llm": 2}


@pytest.mark.parametrize("way", ["end", "close", "drop", "error"])
def test_streams_give_back(kernel, way):
    """A leased stream's grant is free again after its end, a close, a drop and an error."""

    def source():
        yield 1
        if way == "error":
            raise OSError
        yield 2

    items = stream(source, usage=lambda item: Usage(input_tokens=item))
    assert next(items) == 1
    assert running(kernel) == 1
    if way == "end":
        list(items)
    elif way == "close":
        items.close()
    elif way == "error":
        with pytest.raises(OSError):
            next(items)
    del items
    gc.collect()
    assert running(kernel) == 0
    assert [row["failed"] for row in kernel.status().agents] == [1 if way == "error" else 0]


@pytest.mark.parametrize("way", ["end", "close", "cancel", "drop"])
async def test_async_streams_give_back(kernel, way):
    """The same in an event loop, with a cancelled task instead of an error."""

    async def source():
        yield 1
        await asyncio.sleep(60 if way == "cancel" else 0)
        yield 2

    items = astream(source)
    assert await anext(items) == 1
    assert running(kernel) == 1
    if way == "end":
        assert [item async for item in items] == [2]
    elif way == "close":
        await items.aclose()
    elif way == "cancel":
        task = asyncio.ensure_future(anext(items))
        await asyncio.sleep(0.01)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    del items
    gc.collect()
    await asyncio.sleep(0.01)
    assert running(kernel) == 0


def test_served_calls_are_translated():
    """With a core, the reply goes through the adapter's builders and nothing native runs."""

    def never():
        pytest.fail("the native call was made")

    aios_adapters.enable(llm=ScriptedCore(lambda call: "one two"))
    assert ask(never) == "one two"
    assert "".join(stream(never)) == "one two"
    assert asyncio.run(aask(never)) == "one two"

    async def read():
        return "".join([text async for text in astream(never)])

    assert asyncio.run(read()) == "one two"
    assert aios_adapters.status().syscalls == {"llm": 4}


def test_refusals_take_the_frameworks_form(kernel):
    """An LLM call's refusal is what `refused` makes of it, with the kernel's error as its cause."""

    def check(call, process):
        raise AccessDenied("no")

    kernel.checks.append(check)
    with pytest.raises(RuntimeError) as caught:
        ask(refused=lambda error: RuntimeError("native form"))
    assert isinstance(caught.value.__cause__, AccessDenied)
    with pytest.raises(AccessDenied):
        ask()
    assert tool(lambda: "ran") == "denied no"


def test_a_tools_own_errors_are_its_own(kernel):
    """What a tool raises reaches the framework as it is; the syscall is recorded as failed."""

    def broken():
        raise CoreError("the tool's own")

    with pytest.raises(CoreError, match="own"):
        tool(broken)
    assert tool(lambda: "error text", failed=ValueError) == "error text"
    assert [row["failed"] for row in kernel.status().agents] == [2]


async def test_tool_streams(kernel):
    """A tool that yields is one syscall; calls inside it are their own, its consumer's are not inside it."""

    async def source():
        await aask()
        yield 1
        yield 2

    def denied(error):
        return [error]

    items = calls.atool_stream("x", lambda: ToolCall(name="t"), source, denied)
    assert [item async for item in items] == [1, 2]
    sync = calls.tool_stream("x", lambda: ToolCall(name="t"), lambda: iter([ask(), 2]), denied)
    assert list(sync) == ["native", 2]
    assert count(kernel) == {"llm": 2, "tool": 2}
    assert running(kernel) == 0
    kernel.checks.append(lambda call, process: 1 / 0)
    refused = list(calls.tool_stream("x", lambda: ToolCall(name="t"), lambda: iter([1]), denied))
    assert isinstance(refused[0], AccessDenied)


def test_usage_that_cannot_be_read_does_not_hurt(kernel):
    """A result the adapter cannot read is still the program's result."""
    assert ask(usage=lambda result: 1 / 0) == "native"
    assert ask(usage=lambda result: Usage(input_tokens=3, output_tokens=4)) == "native"
    assert kernel.status().agents[0]["output_tokens"] == 4
