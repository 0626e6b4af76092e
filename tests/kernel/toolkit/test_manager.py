"""The tool manager: calls are checked, run apart, limited, timed and answered, whatever a tool does."""

from __future__ import annotations

import asyncio
import json
import os
import sys
import threading
import warnings
from typing import Any

import pytest

from aios_kernel.abi import Agent, ToolCall
from aios_kernel.clock import MockClock
from aios_kernel.errors import (
    AccessDenied,
    ConfigError,
    CoreError,
    KernelClosed,
    ToolArguments,
    ToolError,
    ToolFailed,
    ToolTimeout,
    ToolUnavailable,
    ToolUnknown,
)
from aios_kernel.identity import current_agent
from aios_kernel.kernel import Kernel
from aios_kernel.toolkit import DirectoryResults, Tool, ToolManager, declare, running
from aios_kernel.toolkit.manager import MAX_ABANDONED
from tests.support.waiting import PATIENCE, wait_until


@pytest.fixture
def make():
    """Make kernels with a tool manager each; they close at the end."""
    kernels = []

    def made(*tools, limits=None, checks=(), **settings):
        manager = ToolManager(tools, shipped=settings.pop("shipped", ()), load_entry_points=False, **settings)
        kernels.append(Kernel(managers=[manager], limits=limits, checks=checks))
        return kernels[-1], manager

    yield made
    for kernel in kernels:
        kernel.close()


def ask(kernel, name, agent="ann", **arguments):
    with kernel.syscall(ToolCall(agent=Agent(name=agent), name=name, arguments=arguments)) as grant:
        assert not grant.lease
        return grant.reply().data


def together(*works):
    """Run each in a thread; their results or errors, in order."""
    results: list[Any] = [None] * len(works)

    def run(index, work):
        try:
            results[index] = work()
        except Exception as error:  # noqa: BLE001 - the test looks at it
            results[index] = error

    threads = [threading.Thread(target=run, args=pair, daemon=True) for pair in enumerate(works)]
    for thread in threads:
        thread.start()
    return threads, results


def join(threads):
    for thread in threads:
        thread.join(PATIENCE)
        assert not thread.is_alive()


def add(a: int, b: int = 1) -> int:
    """Add two numbers."""
    return a + b


def test_a_callable_is_a_tool(make):
    """Its signature is its schema, and it runs as the calling agent in a thread of its own."""
    seen = []

    @declare(name="ann/whose", idempotent=True)
    def whose() -> str:
        seen.append(threading.current_thread().name)
        agent = current_agent.get()
        return agent.name if agent else ""

    kernel, manager = make(add, whose)
    assert ask(kernel, "local/add", a=2, b=3) == 5
    assert ask(kernel, "local/add", a=2) == 3
    assert ask(kernel, "ann/whose", agent="ben") == "ben"
    assert seen == ["aios-ann/whose"]
    row = next(row for row in manager.rows() if row["name"] == "local/add")
    assert row["description"] == "Add two numbers."
    assert row["parameters"]["required"] == ["a"]
    assert kernel.status().syscalls == {"tool": 3}


async def test_coroutines_and_event_loops(make):
    """A coroutine function is awaited in a loop of its own thread; a hundred calls from one loop."""

    async def slow_add(a: int, b: int) -> int:
        await asyncio.sleep(0)
        return a + b

    kernel, _ = make(slow_add)

    async def one(number):
        async with kernel.syscall(ToolCall(name="local/slow_add", arguments={"a": number, "b": 1})) as grant:
            return (await grant.areply()).data

    assert await asyncio.gather(*map(one, range(100))) == list(range(1, 101))


def test_json_text_as_a_model_writes_it(make):
    """Arguments may be the text of a model's tool call."""
    kernel, _ = make(add)
    with kernel.syscall(ToolCall(name="local/add", arguments='{"a": 1, "b": 2}')) as grant:
        assert grant.reply().data == 3


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ({}, "'a' is missing"),
        ({"a": "two"}, "'a' must be integer, not string (\"two\")"),
        ({"a": True}, "'a' must be integer, not boolean"),
        ({"a": 1, "bb": 2}, "'bb' is not known; did you mean 'b'?"),
        ('{"a": 1', "the arguments are not JSON"),
        ([1, 2], "must be an object, not array"),
    ],
)
def test_wrong_arguments(make, arguments, says):
    """The error says what to change; the tool is not run, and nothing was queued."""
    ran = []

    def add(a: int, b: int = 1) -> int:
        ran.append(a)
        return a + b

    kernel, _ = make(add)
    with pytest.raises(ToolArguments) as caught, kernel.syscall(ToolCall(name="local/add", arguments=arguments)):
        pytest.fail("granted")
    assert says in str(caught.value)
    assert "local/add was not run" in str(caught.value)
    assert not ran
    assert not kernel.status().resources


def test_unknown_tools(make):
    """The nearest are named, a short name is no alias, and no queue is left behind."""
    kernel, _ = make(add)
    for name in ("add", "local/ad", "nothing/like-it"):
        with pytest.raises(ToolUnknown) as caught:
            ask(kernel, name)
        assert ("local/add" in str(caught.value)) is (name != "nothing/like-it")
    assert not kernel.status().resources


def test_a_check_sees_the_call_before_the_tool_does(make):
    """What the access check refuses does not run."""

    def refuse(call, process):
        raise AccessDenied(f"{process.name} may not use {call.name}")

    kernel, _ = make(add, checks=(refuse,))
    with pytest.raises(AccessDenied, match="ann may not use local/add"):
        ask(kernel, "local/add", a=1)


def boom() -> str:
    raise ZeroDivisionError("by nothing")


def leave() -> str:
    sys.exit(3)


def interrupt() -> str:
    raise KeyboardInterrupt


@pytest.mark.parametrize(
    ("tool", "says"),
    [(boom, "raised ZeroDivisionError: by nothing"), (leave, "SystemExit(3)"), (interrupt, "KeyboardInterrupt")],
)
def test_a_tool_that_raises_or_exits_hurts_nobody_else(make, tool, says):
    """Its caller gets an error, the others their results, and the next call of it is served again."""
    kernel, _ = make(tool, add, limits={"tool:*": {"in_flight": 1}})
    for _ in range(3):
        with pytest.raises(ToolFailed) as caught:
            ask(kernel, f"local/{tool.__name__}")
        assert says in str(caught.value)
        assert ask(kernel, "local/add", a=1) == 2
    wait_until(lambda: not kernel.running)


def test_two_slow_tools_from_four_agents_run_in_parallel(make):
    """All four are inside at one time, which nothing that is serialised could be."""
    inside = threading.Barrier(4)

    def one() -> str:
        inside.wait(PATIENCE)
        return "one"

    def two() -> str:
        inside.wait(PATIENCE)
        return "two"

    kernel, _ = make(one, two)
    calls = [(name, agent) for agent, name in zip("abcd", ["one", "two", "one", "two"], strict=True)]
    threads, results = together(*(lambda n=n, a=a: ask(kernel, f"local/{n}", agent=a) for n, a in calls))
    join(threads)
    assert results == ["one", "two", "one", "two"]


def test_a_declared_limit_holds_under_250_agents(make):
    """Never more than three at once, all are answered, and another tool's calls are not behind them."""
    lock, now, most, leave = threading.Lock(), [0], [0], threading.Event()

    @declare(limit=3)
    def narrow() -> str:
        with lock:
            now[0] += 1
            most[0] = max(most[0], now[0])
        leave.wait(PATIENCE)
        with lock:
            now[0] -= 1
        return "done"

    kernel, _ = make(narrow, add, limits={"tool:*": {"in_flight": 100}})
    threads, results = together(*(lambda n=n: ask(kernel, "local/narrow", agent=f"agent {n}") for n in range(250)))
    wait_until(lambda: any(row["waiting"] == 247 for row in kernel.status().resources))
    assert ask(kernel, "local/add", a=1) == 2
    leave.set()
    join(threads)
    assert results == ["done"] * 250
    assert most[0] == 3


def test_the_kernel_s_own_limit_may_be_lower(make):
    """The lower of the two counts, and a queue's limit is shown."""
    wide = Tool(name="x/wide", run=lambda: 1, limit=5)
    kernel, _ = make(wide, limits={"tool:x/*": {"in_flight": 2}})
    ask(kernel, "x/wide")
    assert [(row["resource"], row["limit"]) for row in kernel.status().resources] == [("tool:x/wide", 2)]


def test_a_tool_that_hangs_is_answered_for(make):
    """At its time the caller is told and the slot is free; the thread is shown until it ends."""
    clock, leave, inside = MockClock(), threading.Event(), threading.Event()

    @declare(timeout=5.0, limit=1)
    def hang() -> str:
        inside.set()
        leave.wait(PATIENCE)
        return "late"

    kernel, manager = make(hang, add, clock=clock)
    threads, results = together(lambda: ask(kernel, "local/hang"))
    assert inside.wait(PATIENCE)
    clock.advance(4.9)
    assert ask(kernel, "local/add", a=1) == 2
    assert threads[0].is_alive()
    wait_until(lambda: clock.advance(0.2) or not threads[0].is_alive())
    assert isinstance(results[0], ToolTimeout)
    assert "local/hang did not end within 5 seconds" in str(results[0])
    wait_until(lambda: not kernel.running)
    assert manager.status()["hanging"] == {"local/hang": 1}
    leave.set()
    wait_until(lambda: not manager.status()["hanging"])
    assert ask(kernel, "local/hang") == "late"


def test_too_many_that_hang(make):
    """Threads that cannot be ended are bounded: then the tool is refused, and served again once they end."""
    clock, leave = MockClock(), threading.Event()
    hang = Tool(name="x/hang", run=lambda: leave.wait(PATIENCE), timeout=1.0)
    kernel, manager = make(hang, clock=clock)
    threads, results = together(*[lambda: ask(kernel, "x/hang")] * MAX_ABANDONED)
    wait_until(lambda: clock.advance(2) or not any(thread.is_alive() for thread in threads))
    assert {type(result) for result in results} == {ToolTimeout}
    with pytest.raises(ToolUnavailable, match="16 earlier ones timed out"):
        ask(kernel, "x/hang")
    leave.set()
    wait_until(lambda: not manager.status()["hanging"])
    assert ask(kernel, "x/hang") is True


def test_a_coroutine_that_hangs_is_cancelled(make):
    """Its task ends, so no thread is left."""
    clock, started, ended = MockClock(), threading.Event(), threading.Event()

    @declare(timeout=1.0)
    async def hang() -> None:
        started.set()
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    kernel, manager = make(hang, clock=clock)
    threads, results = together(lambda: ask(kernel, "local/hang"))
    assert started.wait(PATIENCE)
    wait_until(lambda: clock.advance(1.0) or ended.is_set())
    join(threads)
    assert isinstance(results[0], ToolTimeout)
    wait_until(lambda: not manager.status()["running"])


async def test_a_caller_that_leaves_stops_its_tool(make):
    """A cancelled caller's tool is told, and its slot is free."""
    started, told = asyncio.Event(), threading.Event()
    loop = asyncio.get_running_loop()

    def wait() -> None:
        with running().stopping(told.set):
            loop.call_soon_threadsafe(started.set)
            told.wait(PATIENCE)

    kernel, _ = make(wait)

    async def call():
        async with kernel.syscall(ToolCall(name="local/wait")) as grant:
            await grant.areply()

    task = asyncio.ensure_future(call())
    await started.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert told.wait(PATIENCE)
    wait_until(lambda: not kernel.running)


def test_only_idempotent_tools_are_run_again(make):
    """A declared one is, as often as it says; any other never, and declaring it so is refused."""
    tries = {"safe": 0, "unsafe": 0}

    def fail(which):
        tries[which] += 1
        raise OSError(f"attempt {tries[which]}")

    def twice():
        tries["safe"] += 1
        return "at last" if tries["safe"] > 2 else fail("unsafe")

    kernel, _ = make(
        Tool(name="x/safe", run=twice, idempotent=True, retries=2), Tool(name="x/unsafe", run=lambda: fail("unsafe"))
    )
    assert ask(kernel, "x/safe") == "at last"
    assert tries == {"safe": 3, "unsafe": 2}
    with pytest.raises(ToolFailed, match="attempt 3"):
        ask(kernel, "x/unsafe")
    assert tries["unsafe"] == 3
    with pytest.raises(ConfigError, match="idempotent"):
        Tool(name="x/y", run=print, retries=1)


def test_large_results_are_stored_and_read_in_pieces(make, tmp_path):
    """The caller gets a reference; pieces put together are the result; another agent's reference is none."""
    text = "".join(f"line {number}: äöü 🐙\n" for number in range(3000))
    kernel, _ = make(
        Tool(name="x/long", run=lambda: text),
        Tool(name="x/rows", run=lambda: [{"n": n} for n in range(9000)]),
        results=DirectoryResults(tmp_path),
    )
    reply = ask(kernel, "x/long")
    assert reply["characters"] == len(text)
    assert text.startswith(reply["preview"])
    assert len(json.dumps(reply)) < 8000
    assert ask(kernel, "x/long")["stored"] == reply["stored"]
    pieces, more = [], True
    while more:
        piece = ask(kernel, "aios/read_result", reference=reply["stored"], offset=sum(map(len, pieces)), length=16000)
        pieces.append(piece["text"])
        more = piece["more"]
    assert "".join(pieces) == text
    rows = ask(kernel, "x/rows")["stored"]
    assert ask(kernel, "aios/read_result", reference=rows, length=20)["text"].startswith('[{"n": 0}')
    for who, reference in (("ben", reply["stored"]), ("ann", "result:" + "0" * 64), ("ann", "result:../../x")):
        with pytest.raises(ToolError, match=r"no result|no reference"):
            ask(kernel, "aios/read_result", agent=who, reference=reference)


def test_results_are_plain_data(make):
    """What JSON has no form for becomes text, so that a caller in another process gets the same."""
    loop = []
    loop.append(loop)
    kernel, _ = make(
        Tool(name="x/odd", run=lambda: {"when": complex(1, 2), "both": (1, 2)}), Tool(name="x/loop", run=lambda: loop)
    )
    assert ask(kernel, "x/odd") == {"when": "(1+2j)", "both": [1, 2]}
    assert ask(kernel, "x/loop") == "[[...]]"


def test_what_a_tool_needs(make, monkeypatch):
    """A missing package, program or key is a clear error and stands in the list; once it is there, the tool runs."""
    monkeypatch.delenv("AIOS_TEST_KEY", raising=False)
    needy = Tool(
        name="x/needy",
        run=lambda: "ran",
        imports=("no_such_module_here",),
        binaries=("no-such-program",),
        environment=("AIOS_TEST_KEY",),
    )
    keyed = Tool(name="x/keyed", run=lambda: "ran", imports=("json",), environment=("AIOS_TEST_KEY",))
    kernel, _ = make(needy, keyed)
    with pytest.raises(ToolUnavailable) as caught:
        ask(kernel, "x/needy")
    for part in ("no_such_module_here", "no-such-program", "AIOS_TEST_KEY"):
        assert part in str(caught.value)
    listed = {row["name"]: row["missing"] for row in ask(kernel, "aios/list_tools")}
    assert len(listed["x/needy"]) == 3
    assert len(listed["x/keyed"]) == 1
    monkeypatch.setenv("AIOS_TEST_KEY", "x")
    assert ask(kernel, "x/keyed") == "ran"


def test_a_tool_that_cannot_tell_what_it_needs(make):
    """Its own trouble is its own: the others are listed and run."""
    kernel, _ = make(Tool(name="x/odd", run=lambda: 1, ready=lambda: str(1 / 0)), add)
    assert {row["name"]: row["missing"] for row in ask(kernel, "aios/list_tools")}["local/add"] == []
    with pytest.raises(ToolUnavailable, match="ZeroDivisionError"):
        ask(kernel, "x/odd")
    assert ask(kernel, "local/add", a=1) == 2


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork")
def test_in_a_forked_child(make):
    """Tools work in the child, also while one of the parent's hangs and another thread is inside the registry."""
    leave, inside = threading.Event(), threading.Event()

    def hang() -> None:
        inside.set()
        leave.wait(PATIENCE)

    kernel, manager = make(hang, add)
    threads, _ = together(lambda: ask(kernel, "local/hang"))
    assert inside.wait(PATIENCE)
    reader, writer = os.pipe()
    with manager.registry._lock, manager.seen._lock, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Python 3.12 warns of forking with threads, which is the point
        child = os.fork()
        if child == 0:
            try:
                manager.add(lambda: "late", name="x/late", parameters={"type": "object"})
                answer = [ask(kernel, "local/add", a=1), ask(kernel, "x/late"), manager.status()["running"]]
            except BaseException as error:  # noqa: BLE001 - the parent looks at it
                answer = repr(error)
            os.write(writer, json.dumps(answer).encode())
            os._exit(0)
    os.close(writer)
    with os.fdopen(reader, "rb") as answers:
        assert json.loads(answers.read()) == [2, "late", 0]
    os.waitpid(child, 0)
    leave.set()
    join(threads)


def test_the_tools_of_frameworks_are_seen(make):
    """Leased calls leave a name and the shape of the arguments, no values; they run nowhere else."""
    kernel, _ = make()
    graph = Agent(name="graph", framework="langchain")
    for arguments in ({"query": "SECRET", "k": 3}, {"query": None, "tags": ["SECRET"]}, "not JSON", object()):
        with kernel.syscall(ToolCall(agent=graph, name="search", arguments=arguments, lease=True)) as grant:
            assert grant.lease
    row = next(row for row in ask(kernel, "aios/list_tools") if row["name"] == "search")
    assert (row["origin"], row["calls"]) == ("seen in langchain", 4)
    assert row["parameters"]["properties"]["query"] == {"type": ["string", "null"]}
    assert row["parameters"]["properties"]["tags"] == {"type": "array", "items": {"type": "string"}}
    assert "SECRET" not in json.dumps(row)
    with pytest.raises(ToolUnknown, match="seen in langchain, and only runs there"):
        ask(kernel, "search")


def test_a_tool_may_call_tools(make):
    """A nested call goes through the gate as the same agent, also where both are limited to one."""

    @declare(limit=1)
    def outer(a: int) -> int:
        with running().gate.syscall(ToolCall(name="local/add", arguments={"a": a})) as grant:
            return grant.reply().data * 10

    kernel, _ = make(outer, add, limits={"tool:*": {"in_flight": 1}})
    assert ask(kernel, "local/outer", a=1) == 20
    assert [row["name"] for row in kernel.status().agents if row["syscalls"]] == ["ann"]


def test_closing(make):
    """Calls under way end by themselves, a hanging one still at its time; later ones are refused."""
    leave, inside = threading.Event(), threading.Barrier(3)

    @declare(timeout=None)
    def slow() -> str:
        inside.wait(PATIENCE)
        leave.wait(PATIENCE)
        return "done"

    @declare(timeout=0.2)
    def hang() -> str:
        inside.wait(PATIENCE)
        leave.wait(PATIENCE)
        return "late"

    kernel, manager = make(slow, hang)
    closed = []
    manager.on_close(lambda: closed.append(True))
    threads, results = together(lambda: ask(kernel, "local/slow"), lambda: ask(kernel, "local/hang"))
    inside.wait(PATIENCE)
    kernel.close()
    assert closed == [True]
    join(threads[1:])
    assert isinstance(results[1], ToolTimeout)
    leave.set()
    join(threads)
    assert results[0] == "done"
    with pytest.raises(KernelClosed):
        ask(kernel, "local/slow")


def test_a_killed_agent_s_tool_is_stopped(make):
    """The caller is answered at once, and the tool is told."""
    inside, told = threading.Event(), threading.Event()

    def wait() -> None:
        with running().stopping(told.set):
            inside.set()
            told.wait(PATIENCE)

    kernel, _ = make(wait)
    threads, results = together(lambda: ask(kernel, "local/wait"))
    assert inside.wait(PATIENCE)
    kernel.kill(next(row["pid"] for row in kernel.status().agents if row["name"] == "ann"))
    join(threads)
    assert isinstance(results[0], AccessDenied)
    assert told.wait(PATIENCE)


def test_names_and_declarations(make):
    """A name is `org/name` and taken once; what a tool declares is checked."""
    _, manager = make(add)
    with pytest.raises(ConfigError, match="registered already"):
        manager.add(add)
    manager.add(lambda a: a, name="local/add", replace=True)
    wrongs: tuple[dict[str, Any], ...] = (
        {"name": "add"},
        {"name": "a b/c"},
        {"name": "x/y", "limit": 0},
        {"name": "x/y", "timeout": 0},
    )
    for wrong in wrongs:
        with pytest.raises(ConfigError):
            Tool(run=print, **wrong)
    with pytest.raises(ConfigError, match="declares no colour"):
        declare(colour="red")
    with pytest.raises(ToolError, match="inside a kernel"):
        running()
    assert issubclass(ToolError, Exception)
    assert not issubclass(ToolError, CoreError)
