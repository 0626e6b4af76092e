"""Budgets at the gate: what is refused, what is given back, what happens to the agent, and what people see."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import threading
from typing import Any

import pytest

from aios_kernel.abi import Agent, ChatCall, EmbeddingCall, MemoryCall, Reply, Sampling, ToolCall, Usage
from aios_kernel.clock import MockClock
from aios_kernel.cores.scripted import ScriptedCore
from aios_kernel.errors import (
    AccessDenied,
    AgentKilled,
    BudgetExceeded,
    ConfigError,
    CoreError,
    DeadlineExceeded,
    UnknownName,
)
from aios_kernel.kernel import Kernel
from aios_kernel.protocol import decode_error, encode_error
from tests.support.waiting import wait_until

ANN = Agent(name="ann")


def _chat(text: str = "hello", *, agent: Agent = ANN, most: int | None = 10, model: str = "m", **fields: Any):
    message = {"role": "user", "content": text}
    return ChatCall(agent=agent, model=model, messages=(message,), sampling=Sampling(max_tokens=most), **fields)


def _search(number):
    return ToolCall(agent=ANN, name="search", arguments={"q": 1}, call_id=str(number))


def _core(tokens=10):
    return ScriptedCore(lambda call: Reply(text="x", usage=Usage(input_tokens=1, output_tokens=tokens - 1)))


def _ask(kernel, call):
    with kernel.syscall(call) as grant:
        return grant.reply()


def _waiting(kernel):
    return sum(row["waiting"] for row in kernel.status().resources)


@contextlib.contextmanager
def _held(kernel, call):
    """Have another thread hold the resource."""
    begun, over = threading.Event(), threading.Event()

    def hold():
        with kernel.syscall(call):
            begun.set()
            over.wait(30)

    thread = threading.Thread(target=hold)
    thread.start()
    assert begun.wait(10)
    yield
    over.set()
    thread.join(10)


def _account(kernel, name):
    return next(row for row in kernel.status().budgets if row["account"] == name)


@pytest.fixture
def make():
    kernels = []

    def make(budgets, core=None, **options):
        kernels.append(Kernel(budgets=budgets, llm=core, **options))
        return kernels[-1]

    yield make
    for kernel in kernels:
        kernel.close()


def test_tokens_are_charged_as_used_and_the_call_that_does_not_fit_is_refused(make):
    """Each call holds 1 + 10 tokens and uses 10: of 31 tokens, two calls use 20, and a third's worst case just fits."""
    kernel = make({"*": {"tokens": 31}}, _core())
    for spent in (10, 20, 30):
        _ask(kernel, _chat())
        assert _account(kernel, "agent:ann")["tokens"] == spent
    with pytest.raises(BudgetExceeded, match="30 of 31 tokens are spent"):
        _ask(kernel, _chat())
    row = _account(kernel, "agent:ann")
    assert (row["tokens"], row["tokens_limit"], row["tokens_left"], row["calls"]) == (30, 31, 1, 3)


def test_agents_groups_and_the_kernel_have_accounts_of_their_own(make):
    """An agent's rule goes before "*", a group's is shared by its members and those of groups in it, the kernel's by all."""
    rules = {
        "*": {"calls": 3},
        "agent:ann": {"calls": 1},
        "agent:w-*": {"calls": 2},
        "group:g": {"calls": 4},
        "kernel": {"calls": 7},
    }
    kernel = make(rules, _core())

    def allowed(agent):
        count = 0
        while count < 20:
            try:
                _ask(kernel, _chat(agent=agent))
            except BudgetExceeded as error:
                return count, str(error).partition(": ")[0]
            count += 1
        return count, ""

    assert allowed(ANN) == (1, "budget of agent:ann")
    assert allowed(Agent(name="w-1", group="g/in")) == (2, "budget of agent:w-1")
    assert allowed(Agent(name="w-2", group="g")) == (2, "budget of agent:w-2")
    assert allowed(Agent(name="bob", group="g")) == (0, "budget of group:g")
    assert allowed(Agent(name="cat")) == (2, "budget of kernel")


def test_money_is_counted_by_the_price_of_the_model(make):
    """A user's price goes before the table's; a model without one is refused where money is bounded."""
    kernel = make({"kernel": {"money": 0.05}}, _core(1000), prices={"m": {"input": 1.0, "output": 10.0}})
    _ask(kernel, _chat(most=1000))
    assert _account(kernel, "kernel")["money"] == pytest.approx((1 * 1.0 + 999 * 10.0) / 1e6)
    with pytest.raises(BudgetExceeded, match="has no price"):
        _ask(kernel, _chat(model="unheard-of"))
    with pytest.raises(BudgetExceeded, match=r"of 0\.05 money are spent"):
        _ask(kernel, _chat(most=10_000))


def test_a_failed_and_a_cancelled_call_give_their_tokens_back(make):
    """What raises, what passes its deadline and what is cancelled while it waits holds nothing afterwards."""
    kernel = make({"*": {"tokens": 100}}, limits={"*": {"in_flight": 1}})
    with pytest.raises(ZeroDivisionError), kernel.syscall(_chat()):
        raise ZeroDivisionError

    async def ask():
        async with kernel.syscall(_chat()):
            raise AssertionError("it is cancelled before")

    async def cancelled():
        task = asyncio.ensure_future(ask())
        await asyncio.sleep(0)
        assert _waiting(kernel) == 1
        assert _account(kernel, "agent:ann")["tokens_left"] == 89
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    with _held(kernel, _chat(agent=Agent(name="bob"))):
        with pytest.raises(DeadlineExceeded):
            _ask(kernel, _chat(timeout=0.01))
        asyncio.run(cancelled())
    row = _account(kernel, "agent:ann")
    # The one that raised was made, and counts as a call; the others never ran.
    assert (row["tokens"], row["tokens_left"], row["calls"]) == (0, 100, 1)


def test_a_lease_is_charged_what_it_reports_and_what_it_held_if_it_reports_nothing(make):
    """Nothing is free because nobody counted it; a dropped stream neither."""
    kernel = make({"*": {"tokens": 100}})
    with kernel.syscall(_chat()) as grant:
        grant.report(Usage(input_tokens=2, output_tokens=3))
    assert _account(kernel, "agent:ann")["tokens"] == 5
    with kernel.syscall(_chat()) as grant:
        grant.keep()
    del grant
    gc.collect()
    assert _account(kernel, "agent:ann")["tokens"] == 5 + 11


def test_a_served_call_left_early_is_charged_when_the_core_tells(make):
    """Leaving a stream does not make it free: the held tokens stand until the core's own count replaces them."""
    jobs = []

    class Slow(ScriptedCore):
        def start(self, job):
            jobs.append(job)

    kernel = make({"*": {"tokens": 100}}, Slow([]))
    with pytest.raises(KeyError), kernel.syscall(_chat(stream=True)):
        raise KeyError
    assert _account(kernel, "agent:ann")["calls"] == 1
    jobs[0].finish(Reply(usage=Usage(input_tokens=4, output_tokens=3)))
    assert _account(kernel, "agent:ann")["tokens"] == 7


def test_a_core_that_fails_costs_a_call_and_no_tokens(make):
    """An error is no answer, so nothing was used; the call counts."""
    kernel = make({"*": {"tokens": 100}}, ScriptedCore([]))
    with pytest.raises(CoreError):
        _ask(kernel, _chat())
    assert [_account(kernel, "agent:ann")[key] for key in ("tokens", "calls", "tokens_left")] == [0, 1, 100]


def test_wall_time_is_counted_from_the_first_call(make):
    """The clock is the kernel's own."""
    clock = MockClock()
    kernel = make({"*": {"seconds": 10}}, _core(), clock=clock)
    _ask(kernel, _chat())
    clock.advance(10)
    _ask(kernel, _chat())
    clock.advance(0.5)
    with pytest.raises(BudgetExceeded, match=r"10\.5 of 10 seconds are over"):
        _ask(kernel, _chat())


def test_a_loop_of_equal_requests_ends_and_others_go_on(make):
    """The same request in a row counts, per agent; another request begins the count anew."""
    kernel = make({"*": {"repeats": 3}}, _core())
    for _ in range(3):
        _ask(kernel, _chat("again"))
    with pytest.raises(BudgetExceeded, match="4 times in a row, a loop"):
        _ask(kernel, _chat("again"))
    _ask(kernel, _chat("again", agent=Agent(name="bob")))
    _ask(kernel, _chat("something else"))
    _ask(kernel, _chat("again"))
    for number in range(3):  # the model numbers its requests anew each time
        with kernel.syscall(_search(number)):
            pass
    with pytest.raises(BudgetExceeded):
        kernel.syscall(_search(4)).__enter__()


def test_a_pause_holds_the_call_until_somebody_allows_more(make):
    """The call that did not fit waits, nothing is lost, and it goes on by `allow` and `resume`."""
    kernel = make({"*": {"calls": 1, "then": "pause"}}, _core())
    _ask(kernel, _chat())
    replies = []
    thread = threading.Thread(target=lambda: replies.append(_ask(kernel, _chat())))
    thread.start()
    wait_until(lambda: kernel.status().agents[1]["waiting"] == 1)
    row = next(row for row in kernel.status().agents if row["name"] == "ann")
    assert row["state"] == "paused"
    assert not replies
    kernel.budgets.allow("agent:ann", calls=5)
    kernel.resume(row["pid"])
    thread.join(10)
    assert [reply.text for reply in replies] == ["x"]
    _ask(kernel, _chat())
    assert _account(kernel, "agent:ann")["calls"] == 3


def test_a_kill_ends_the_agent(make):
    """The call that does not fit is refused for the budget, and each later one because its agent is dead."""
    kernel = make({"*": {"calls": 1, "then": "kill"}}, _core())
    _ask(kernel, _chat())
    with pytest.raises(BudgetExceeded, match="the agent is killed"):
        _ask(kernel, _chat())
    with pytest.raises(AgentKilled):
        _ask(kernel, _chat())
    _ask(kernel, _chat(agent=Agent(name="bob")))
    assert {row["name"]: row["state"] for row in kernel.status().agents}["ann"] == "killed"


def test_memory_calls_are_not_counted_as_calls(make):
    """An agent is not starved by its framework's own book-keeping."""
    kernel = make({"*": {"calls": 1}}, _core())
    for _ in range(5):
        with kernel.syscall(MemoryCall(agent=ANN, verb="list")):
            pass
    _ask(kernel, EmbeddingCall(agent=ANN, inputs=("text",)))
    with pytest.raises(BudgetExceeded):
        _ask(kernel, _chat())


def test_the_worst_case_holds_for_any_text(make):
    """With reserve="worst" a byte is held as a token, and a call that names no longest output is refused."""
    kernel = make({"*": {"tokens": 200, "reserve": "worst"}}, _core())
    _ask(kernel, _chat("é" * 20))
    with pytest.raises(BudgetExceeded, match="may use"):
        _ask(kernel, _chat("é" * 100))
    with pytest.raises(BudgetExceeded, match="max_tokens"):
        _ask(kernel, _chat(most=None))


def test_a_refusal_is_told_and_crosses_processes(make):
    """A deny event names the budget, and the class survives the protocol."""
    kernel = make({"*": {"calls": 0}}, _core())
    events = []
    kernel.bus.subscribe(events.append)
    with pytest.raises(BudgetExceeded) as raised:
        _ask(kernel, _chat())
    assert isinstance(raised.value, AccessDenied)
    assert [event.name for event in events] == ["spawn", "deny"]
    assert isinstance(decode_error(encode_error(raised.value)), BudgetExceeded)


@pytest.mark.parametrize(
    ("budgets", "error"),
    [
        ({"ann": {"calls": 1}}, ConfigError),
        ({"agent:": {"calls": 1}}, ConfigError),
        ({"*": 5}, ConfigError),
        ({"*": {"call": 1}}, UnknownName),
        ({"*": {"calls": -1}}, ConfigError),
        ({"*": {"calls": True}}, ConfigError),
        ({"*": {"then": "stop"}}, UnknownName),
    ],
)
def test_a_wrong_budget_fails_before_any_call(budgets, error):
    """Typing mistakes are told at once, with what would be right."""
    with pytest.raises(error):
        Kernel(budgets=budgets)
