"""Approvals: a call waits out of line for a person, nobody else does, and whatever is not plainly yes is no."""

from __future__ import annotations

import asyncio
import functools
import subprocess
import sys
import threading
from typing import Any

import pytest

from aios_kernel.abi import AccessCall, Agent, ChatCall, MemoryCall, ToolCall
from aios_kernel.access import AccessManager, Answer, Callback, Notebook, Pending, Policy, Rule, parse, verify
from aios_kernel.clock import MockClock
from aios_kernel.cores.scripted import ScriptedCore
from aios_kernel.errors import AccessDenied, AgentKilled, DeadlineExceeded, UnknownName
from aios_kernel.kernel import Kernel
from tests.support.waiting import wait_until

ASK = Policy(default="allow", rules=(Rule(effect="ask", to=("tool:danger*",), name="ask for danger"),))


class Desk:
    """An approver that keeps what it is asked, for the test to answer."""

    def __init__(self):
        self.asked, self.withdrawn, self.closed = [], [], False

    def ask(self, request, reply):
        self.asked.append((request, reply))

    def withdraw(self, request):
        self.withdrawn.append(request)

    def close(self):
        self.closed = True

    def say(self, allowed, number=0, **more):
        self.asked[number][1](Answer(allowed=allowed, by="eve", **more))


@pytest.fixture
def desk():
    return Desk()


@pytest.fixture
def clock():
    return MockClock(1000.0)


@pytest.fixture
def make(clock, desk):
    kernels = []

    def make(policy=ASK, approver=desk, **settings):
        access = AccessManager(policy, approver=approver, clock=clock, now=clock.now, timeout=60, **settings)
        kernel = Kernel(checks=(access.check,), managers=[access], clock=clock, llm=ScriptedCore(lambda call: "fine"))
        kernels.append(kernel)
        return kernel, access

    yield make
    for kernel in kernels:
        kernel.close()


def _danger(name="danger", agent="ann", **more):
    return ToolCall(agent=Agent(name=agent), name=name, **more)


async def _until(condition):
    for _ in range(1_000_000):
        if condition():
            return
        await asyncio.sleep(0)
    pytest.fail("the condition did not come about")


async def _enter(kernel, call, ran):
    async with kernel.syscall(call):
        ran.append(call)


def _in_thread(kernel, call):
    """Make a call in a thread; what becomes of it is appended to the list that is returned."""
    ends = []

    def run():
        try:
            with kernel.syscall(call):
                ends.append("ran")
        except BaseException as error:  # noqa: BLE001
            ends.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    return thread, ends


@pytest.mark.parametrize("allowed", [True, False])
def test_a_thread_waits_for_the_answer(make, desk, allowed):
    """Yes runs the call, no raises; meanwhile the call waits and nothing is granted."""
    kernel, access = make()
    thread, ends = _in_thread(kernel, _danger(arguments={"x": 1}))
    wait_until(lambda: desk.asked)
    assert ends == [] and kernel.running == 0
    assert kernel.status().resources[-1]["waiting"] == 1
    request = access.waiting[0]
    assert (request.agent, request.action, request.target, request.arguments) == (
        "ann",
        "tool.run",
        "tool:danger",
        {"x": 1},
    )
    assert (request.why, request.rule, request.expires) == ("the only rule that fits", "ask for danger", 1060.0)
    desk.say(allowed)
    thread.join(30)
    if allowed:
        assert ends == ["ran"]
    else:
        assert isinstance(ends[0], AccessDenied) and "refused by eve" in str(ends[0])
    assert access.waiting == []


async def test_an_event_loop_goes_on(make, desk):
    """Fifty agents of one loop wait for approval while fifty others, and their own other calls, run to the end."""
    kernel, access = make()
    ran = []
    waiting = [asyncio.create_task(_enter(kernel, _danger(agent=f"w{n}"), ran)) for n in range(50)]
    await _until(lambda: len(desk.asked) == 50)
    await asyncio.gather(*(_enter(kernel, ToolCall(agent=Agent(name=f"w{n}"), name="fine"), ran) for n in range(100)))

    async def chat(n):
        async with kernel.syscall(ChatCall(agent=Agent(name=f"c{n}"), model="m")) as grant:
            return (await grant.areply()).text

    assert await asyncio.gather(*(chat(n) for n in range(50))) == ["fine"] * 50
    assert len(ran) == 100 and not any(task.done() for task in waiting)
    assert len(access.waiting) == 50
    # The last asked is answered first, half of them with no, and from another thread.
    answers = threading.Thread(target=lambda: [desk.say(n % 2 == 0, n) for n in reversed(range(50))])
    answers.start()
    ends = await asyncio.gather(*waiting, return_exceptions=True)
    answers.join(30)
    by_agent = {request.agent: number for number, (request, _) in enumerate(desk.asked)}
    for n, end in enumerate(ends):
        assert (end is None) == (by_agent[f"w{n}"] % 2 == 0), end
    assert len(ran) == 125 and access.waiting == []
    assert sum(row["waiting"] for row in kernel.status().resources) == 0


async def test_a_held_call_takes_no_slot(make, desk):
    """With one slot, those behind a call that waits for a person are served."""
    kernel, _ = make(Policy(default="allow", rules=(Rule(effect="ask", who=("ann",)),)))
    kernel.queue("tool:t").limiter.limit = 1
    ran = []
    held = asyncio.create_task(_enter(kernel, ToolCall(agent=Agent(name="ann"), name="t"), ran))
    await _until(lambda: desk.asked)
    for n in range(5):
        await _enter(kernel, ToolCall(agent=Agent(name=f"b{n}"), name="t"), ran)
    assert len(ran) == 5
    desk.say(True)
    await held
    assert ran[-1].agent.name == "ann"


def test_no_answer_is_no(make, desk, clock):
    """After the timeout the call is refused and the question withdrawn; an answer that comes later changes nothing."""
    kernel, access = make()
    thread, ends = _in_thread(kernel, _danger())
    wait_until(lambda: desk.asked)
    clock.advance(59.9)
    assert ends == []
    clock.advance(0.2)
    thread.join(30)
    assert isinstance(ends[0], AccessDenied) and "nobody answered within 60 s" in str(ends[0])
    assert desk.withdrawn == [desk.asked[0][0]]
    desk.say(True)
    assert ends[1:] == [] and access.waiting == []


def test_without_an_approver_it_is_no(make):
    """Nobody to ask, or one who cannot be asked."""
    kernel, _ = make(approver=None)
    with pytest.raises(AccessDenied, match="nobody is there"), kernel.syscall(_danger()):
        pytest.fail("it ran")

    class Broken(Desk):
        def ask(self, request, reply):
            raise OSError("line cut")

    kernel, _ = make(approver=Broken())
    with pytest.raises(AccessDenied, match="line cut"), kernel.syscall(_danger()):
        pytest.fail("it ran")


def test_leaving_withdraws_the_question(make, desk, clock):
    """A deadline, a kill, a closed kernel: the caller wakes with the reason, and nobody is asked any more."""
    cases = [
        (lambda kernel: clock.advance(5), DeadlineExceeded),
        (lambda kernel: kernel.kill(2), AgentKilled),
        (lambda kernel: kernel.close(), AccessDenied),
    ]
    for number, (leave, seen) in enumerate(cases):
        kernel, access = make()
        thread, ends = _in_thread(kernel, _danger(timeout=4))
        wait_until(lambda number=number: len(desk.asked) == number + 1)
        leave(kernel)
        thread.join(30)
        assert isinstance(ends[0], seen), ends
        wait_until(
            lambda number=number, access=access: (
                access.waiting == [] and (number == 2 or len(desk.withdrawn) == number + 1)
            )
        )
        desk.say(True, number)
        assert len(ends) == 1
    assert desk.closed


async def test_cancelling_withdraws_the_question(make, desk):
    """An event loop's task that is cancelled while it waits leaves nothing behind; the answer comes to nobody."""
    kernel, access = make()
    ran = []
    task = asyncio.create_task(_enter(kernel, _danger(), ran))
    await _until(lambda: desk.asked)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert access.waiting == []
    wait_until(lambda: desk.withdrawn)
    desk.say(True)
    await asyncio.sleep(0)
    assert ran == [] and kernel.running == 0


def test_a_paused_agent_stays_paused(make, desk):
    """A yes does not let a paused agent's call run; going on does, and only after the yes."""
    for first_yes in (True, False):
        kernel, _ = make()
        thread, ends = _in_thread(kernel, _danger())
        wait_until(lambda: desk.asked)
        pid = desk.asked[0][0].pid
        kernel.pause(pid)
        steps = [functools.partial(desk.say, True), functools.partial(kernel.resume, pid)]
        for step in steps if first_yes else steps[::-1]:
            assert ends == []
            step()
        thread.join(30)
        assert ends == ["ran"]
        desk.asked.clear()


def test_remembered_for_a_while(make, desk, clock, tmp_path):
    """The same agent, action and target is not asked again until the time is over; others are, whatever they resemble."""
    file = tmp_path / "decisions.db"
    kernel, _ = make(remember=file)
    thread, ends = _in_thread(kernel, _danger(arguments=1))
    wait_until(lambda: desk.asked)
    desk.say(True, remember=100.0)
    thread.join(30)
    with kernel.syscall(_danger(arguments=2)):
        ends.append("again")
    assert ends == ["ran", "again"] and len(desk.asked) == 1
    again, _ = make(remember=file)  # as in another process
    with again.syscall(_danger()):
        ends.append("elsewhere")
    clock.advance(99.9)
    with kernel.syscall(_danger()):
        ends.append("still")
    for number, call in enumerate((_danger(agent="bob"), _danger("danger2"), _danger("danger", code=True)), 1):
        thread, other = _in_thread(kernel, call)
        wait_until(lambda number=number: len(desk.asked) == number + 1)
        desk.say(False, number)
        thread.join(30)
        assert isinstance(other[0], AccessDenied)
    clock.advance(0.1)
    thread, ends = _in_thread(kernel, _danger())
    wait_until(lambda: len(desk.asked) == 5)
    desk.say(False, 4, remember=10)
    thread.join(30)
    with pytest.raises(AccessDenied, match="remembered"), kernel.syscall(_danger()):
        pytest.fail("it ran")
    clock.advance(10)
    thread, ends = _in_thread(kernel, _danger())
    wait_until(lambda: len(desk.asked) == 6)
    desk.say(True, 5)
    thread.join(30)
    assert ends == ["ran"]


async def test_one_answer_for_all_that_wait_for_the_same(make, desk):
    """Ten calls of one agent to one target wait; one remembered yes lets them all through."""
    kernel, access = make()
    ran = []
    tasks = [asyncio.create_task(_enter(kernel, _danger(arguments=n), ran)) for n in range(10)]
    other = asyncio.create_task(_enter(kernel, _danger(agent="bob"), ran))
    await _until(lambda: len(desk.asked) == 11)
    desk.say(True, 3, remember=10)
    await asyncio.gather(*tasks)
    assert len(desk.withdrawn) == 9
    assert [request.agent for request in access.waiting] == ["bob"]
    other.cancel()
    await asyncio.gather(other, return_exceptions=True)


@pytest.mark.parametrize(
    ("answer", "seen"),
    [
        (True, "ran"),
        (Answer(allowed=True), "ran"),
        (False, "it answered False"),
        (None, "it answered None"),
        (1, "it answered 1"),
        ("yes", "it answered 'yes'"),
        (ZeroDivisionError("x"), "it raised ZeroDivisionError"),
        (SystemExit(0), "it raised SystemExit"),
    ],
)
def test_callbacks(make, answer, seen):
    """True or an Answer is yes; whatever else comes out of the function is no."""

    def decide(request):
        if isinstance(answer, BaseException):
            raise answer
        return answer

    kernel, _ = make(approver=Callback(decide))
    thread, ends = _in_thread(kernel, _danger())
    thread.join(30)
    assert seen in str(ends[0])


async def test_a_coroutine_decides_in_the_program_s_loop(make):
    """Even in the very loop that the call waits in; without a loop it is no."""
    kernel, _ = make(approver=Callback(_later, loop=asyncio.get_running_loop()))
    ran = []
    await asyncio.gather(*(_enter(kernel, _danger(agent=f"a{n}"), ran) for n in range(20)))
    assert len(ran) == 20
    kernel, _ = make(approver=Callback(_later))
    with pytest.raises(AccessDenied, match="needs the loop"):
        await _enter(kernel, _danger(), ran)


async def _later(request):
    await asyncio.sleep(0)
    return True


@pytest.mark.parametrize(
    ("typed", "runs"), [("y", True), (" YES ", True), ("a", True), ("n", False), ("", False), ("yy", False)]
)
def test_notebooks(make, typed, runs):
    """The question is put where the notebook's kernel takes input; what is not plainly yes is no."""
    asked = []
    kernel, _ = make(approver=Notebook(lambda text: (asked.append(text), typed)[1]))
    thread, ends = _in_thread(kernel, _danger(arguments={"path": "a\u202eb"}))
    thread.join(30)
    assert (ends == ["ran"]) is runs
    assert "path: a\\u202eb" in asked[0]


def test_a_notebook_without_input(make):
    """A front end that takes no input raises: no."""

    def refuse(text):
        raise RuntimeError("raw_input was called, but this frontend does not support input requests.")

    kernel, _ = make(approver=Notebook(refuse))
    with pytest.raises(AccessDenied, match="does not support input"), kernel.syscall(_danger()):
        pytest.fail("it ran")


def test_the_pending_queue(make, tmp_path, clock):
    """Listed and answered by another process's means: with all arguments but no secrets, once, and gone afterwards."""
    file = tmp_path / "queue" / "approvals.db"
    kernel, _ = make(approver=Pending(file, now=clock.now))
    desk = Pending(file, now=clock.now)
    ends = [_in_thread(kernel, _danger(agent=f"a{n}", arguments={"n": n, "password": "hunter2"})) for n in range(3)]
    wait_until(lambda: len(desk.listed()) == 3)
    assert file.stat().st_mode & 0o777 == 0o600
    assert b"hunter2" not in file.read_bytes()
    by_agent = {one["agent"]: one for one in desk.listed()}
    assert by_agent["a1"]["arguments"]["n"] == 1 and by_agent["a1"]["target"] == "tool:danger"
    desk.decide(by_agent["a0"]["id"], Answer(allowed=True, by="eve"))
    desk.decide(by_agent["a1"]["id"], Answer(allowed=False, by="eve"))
    for thread, _ in ends[:2]:
        thread.join(30)
    assert ends[0][1] == ["ran"] and "refused by eve" in str(ends[1][1][0])
    with pytest.raises(UnknownName, match="open question"):
        desk.decide(by_agent["a0"]["id"], Answer(allowed=True))
    clock.advance(60)
    ends[2][0].join(30)
    assert "nobody answered" in str(ends[2][1][0])
    assert desk.listed() == []
    with pytest.raises(UnknownName):
        desk.decide(by_agent["a2"]["id"], Answer(allowed=True))


FORKING = """
import os, sys, threading
from aios_kernel.abi import Agent, ToolCall
from aios_kernel.access import AccessManager, Pending, Policy
from aios_kernel.kernel import Kernel
access = AccessManager(Policy(default="ask"), approver=Pending(sys.argv[1]), audit=sys.argv[2])
kernel = Kernel(checks=(access.check,), managers=[access])
def use(name):
    with kernel.syscall(ToolCall(agent=Agent(name=name), name="t")):
        pass
use("parent")
child = os.fork()
if child == 0:
    use("child")
    os._exit(0)
sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""


def test_a_forked_child_asks_for_itself(tmp_path):
    """Its questions have a thread of its own, and its decisions go into the same log."""
    desk = Pending(tmp_path / "a.db")
    with subprocess.Popen([sys.executable, "-c", FORKING, str(desk.path), str(tmp_path / "a.jsonl")]) as program:
        for agent in ("parent", "child"):
            wait_until(lambda agent=agent: [one["agent"] for one in desk.listed()] == [agent])
            desk.decide(desk.listed()[0]["id"], Answer(allowed=True, by="eve"))
        assert program.wait(30) == 0
    found = verify(tmp_path / "a.jsonl")
    assert found.ok and found.entries == 4


def test_a_pending_queue_that_cannot_be_written(make, tmp_path):
    """No file, no yes."""
    kernel, _ = make(approver=Pending(tmp_path))
    with pytest.raises(AccessDenied, match="cannot be used"), kernel.syscall(_danger()):
        pytest.fail("it ran")


def test_what_cannot_be_undone_is_asked_for(make, desk):
    """Removing, unsandboxed code, destructive tools and privileges, also where everything is allowed."""
    kernel, _ = make(parse("default='allow'\ndestructive=['drop']\n[groups]\nops=['eve']"))
    calls = [
        MemoryCall(verb="remove"),
        MemoryCall(verb="update"),
        ToolCall(name="x", code=True),
        ToolCall(name="drop"),
        AccessCall(action="access.add_privilege", target="group:ops", arguments={"agent": "mallory"}),
        AccessCall(action="access.ask", target="tool:launch", arguments={"why": "ready"}),
    ]
    for number, call in enumerate(calls):
        thread, ends = _in_thread(kernel, call)
        wait_until(lambda number=number: len(desk.asked) == number + 1)
        desk.say(False, number)
        thread.join(30)
        assert isinstance(ends[0], AccessDenied)


def test_access_calls(make, desk, clock):
    """Asking what would be decided, asking a person, and joining a group for a while."""
    policy = "[groups]\nops=['eve']\n[[rules]]\nwho='group:ops'\nto='tool:x'\neffect='allow'\n"
    policy += "[[rules]]\nwho='eve'\ndo='access.*'\nto=['group:ops','tool:*']\neffect='allow'\nunattended=true"
    kernel, _ = make(parse(policy))

    def ask(by, action, target, **arguments):
        with kernel.syscall(
            AccessCall(agent=Agent(name=by), action=action, target=target, arguments=arguments)
        ) as grant:
            return grant.reply().data

    assert ask("bob", "tool.run", "tool:x")["effect"] == "deny"
    assert ask("eve", "tool.run", "tool:x") == {
        "effect": "allow", "rule": "rule 1 (line 3)", "why": "the only rule that fits", "matched": ["rule 1 (line 3)"]
    }  # fmt: skip
    assert ask("eve", "access.ask", "tool:launch") == {"allowed": True}
    with pytest.raises(AccessDenied):
        ask("bob", "access.add_privilege", "group:ops", agent="bob")
    with pytest.raises(AccessDenied, match="itself only"):
        ask("bob", "tool.run", "tool:x", agent="eve")
    ask("eve", "access.add_privilege", "group:ops", agent="bob", seconds=10)
    assert ask("bob", "tool.run", "tool:x")["effect"] == "allow"
    clock.advance(10)
    assert ask("bob", "tool.run", "tool:x")["effect"] == "deny"
    ask("eve", "access.add_privilege", "group:ops", agent="bob")
    ask("eve", "access.remove_privilege", "group:ops", agent="bob")
    assert ask("bob", "tool.run", "tool:x")["effect"] == "deny"
    assert desk.asked == []


def test_checks_that_return_something_else_refuse():
    """A check returns nothing or a hold; another answer may mean anything, so it means no."""
    for answer in (True, False, "yes", object()):
        check: Any = functools.partial(lambda answer, call, process: answer, answer)
        kernel = Kernel(checks=(check,))
        with pytest.raises(AccessDenied, match="returns None or a Hold"), kernel.syscall(ToolCall(name="t")):
            pytest.fail("it ran")


def test_two_checks_hold_one_after_the_other(clock):
    """The second question is put once the first has its yes; both must say yes."""
    desks = [Desk(), Desk()]
    managers = [
        AccessManager(ASK, name=f"m{n}", approver=desk, clock=clock, now=clock.now) for n, desk in enumerate(desks)
    ]
    kernel = Kernel(checks=tuple(one.check for one in managers), managers=managers)
    thread, ends = _in_thread(kernel, _danger())
    wait_until(lambda: desks[0].asked)
    assert desks[1].asked == []
    desks[0].say(True)
    assert len(desks[1].asked) == 1 and ends == []
    desks[1].say(False)
    thread.join(30)
    assert isinstance(ends[0], AccessDenied)
    kernel.close()


def test_a_refusal_after_asking_is_told_as_one(make, desk):
    """Who watches the kernel sees the call wait, and then denied."""
    kernel, _ = make()
    seen = []
    kernel.bus.subscribe(lambda event: seen.append(event.name))
    thread, _ = _in_thread(kernel, _danger())
    wait_until(lambda: desk.asked)
    desk.say(False)
    thread.join(30)
    assert seen == ["spawn", "submit", "deny"]
