"""No overshoot: whatever 250 agents do at once, what is spent and held never passes a limit, and the books balance."""

from __future__ import annotations

import asyncio
import random
import threading

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aios_kernel.abi import Agent, ChatCall, Reply, Sampling, Usage
from aios_kernel.budgets.ledger import Amount, Ledger
from aios_kernel.budgets.rules import Rule
from aios_kernel.cores.scripted import ScriptedCore
from aios_kernel.errors import BudgetExceeded
from aios_kernel.kernel import Kernel

AGENTS, CALLS, LIMIT = 250, 6, 20_000


class _Books:
    """What the core really answered, against what the kernel says."""

    def __init__(self):
        self._lock = threading.Lock()
        self._random = random.Random(7)
        self.used = self.calls = 0

    def answer(self, call):
        with self._lock:
            usage = Usage(
                input_tokens=self._random.randint(0, call.estimated_usage.input_tokens),
                output_tokens=self._random.randint(1, call.sampling.max_tokens),
            )
            self.used += usage.total_tokens
            self.calls += 1
        return Reply(text="x", usage=usage)


def _call(number, turn):
    agent = Agent(name=f"agent-{number}", group=f"g{number % 5}")
    message = {"role": "user", "content": "word " * (turn + 1)}
    return ChatCall(agent=agent, messages=(message,), sampling=Sampling(max_tokens=5 + (number + turn) % 60))


def _exact(tokens):
    """A call that holds so many tokens."""
    message = {"role": "user", "content": "hi"}
    return ChatCall(agent=Agent(name="late"), messages=(message,), sampling=Sampling(max_tokens=tokens - 1))


def _kernel(books):
    rules = {"kernel": {"tokens": LIMIT}, "group:g1": {"tokens": 1500}, "*": {"calls": CALLS - 1}}
    return Kernel(budgets=rules, llm=ScriptedCore(books.answer), limits={"*": {"in_flight": 16}})


def _check(kernel, books, refused):
    rows = {row["account"]: row for row in kernel.status().budgets}
    assert books.used <= LIMIT
    assert rows["kernel"]["tokens"] == books.used
    assert rows["kernel"]["tokens_left"] == LIMIT - books.used  # nothing is held any more
    assert rows["group:g1"]["tokens"] <= 1500
    assert sum(rows[f"agent:agent-{n}"]["tokens"] for n in range(AGENTS)) == books.used
    assert max(rows[f"agent:agent-{n}"]["calls"] for n in range(AGENTS)) <= CALLS - 1
    assert books.calls + refused == AGENTS * CALLS
    assert refused
    left = LIMIT - books.used
    with pytest.raises(BudgetExceeded), kernel.syscall(_exact(left + 1)):
        pass
    if left > 1:  # and what is left can be used, to the last token
        with kernel.syscall(_exact(left)) as grant:
            grant.reply()
    assert books.used <= LIMIT


def test_threads():
    """250 agents in a thread each."""
    books, refused = _Books(), []
    kernel = _kernel(books)

    def agent(number):
        for turn in range(CALLS):
            try:
                with kernel.syscall(_call(number, turn)) as grant:
                    grant.reply()
            except BudgetExceeded:
                refused.append(number)

    threads = [threading.Thread(target=agent, args=(number,)) for number in range(AGENTS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    _check(kernel, books, len(refused))
    kernel.close()


def test_event_loop():
    """250 agents in one event loop, some of whom cancel calls that wait."""
    books, refused = _Books(), []
    kernel = _kernel(books)

    async def agent(number):
        for turn in range(CALLS):
            try:
                async with kernel.syscall(_call(number, turn)) as grant:
                    await grant.areply()
            except BudgetExceeded:
                refused.append(number)

    async def main():
        await asyncio.gather(*(agent(number) for number in range(AGENTS)))

    asyncio.run(main())
    _check(kernel, books, len(refused))
    kernel.close()


STEPS = st.lists(
    st.tuples(st.sampled_from(["hold", "settle", "correct"]), st.integers(0, 30), st.integers(0, 5)), max_size=60
)


@settings(max_examples=200, deadline=None)
@given(limit=st.integers(0, 60), steps=STEPS)
def test_the_ledger_against_a_plain_sum(limit, steps):
    """In any order of holds, ends and corrections within what was held: never over the limit, and exact at the end."""
    ledger = Ledger()
    account = ledger.account("a", Rule(tokens=limit), 0.0)
    open_holds, closed = [], []
    for what, tokens, which in steps:
        if what == "hold":
            hold, poor, _ = ledger.hold((account,), lambda _, n=tokens: Amount(1, n), 0.0, anyway=False)
            held = sum(one.amount.tokens for one in open_holds)
            spent = sum(used for _, used in closed)
            assert (hold is None) == (poor is not None) == (spent + held + tokens > limit)
            if hold is not None:
                open_holds.append(hold)
        elif what == "settle" and open_holds:
            hold = open_holds.pop(which % len(open_holds))
            used = min(tokens, hold.amount.tokens)
            hold.settle(Amount(1, used))
            closed.append((hold, used))
        elif closed:
            index = which % len(closed)
            hold = closed[index][0]
            used = min(tokens, closed[index][1])
            hold.settle(Amount(1, used))
            closed[index] = (hold, used)
        assert account.spent.tokens + account.held.tokens <= limit
    assert account.spent.tokens == sum(used for _, used in closed)
    assert account.held.tokens == sum(one.amount.tokens for one in open_holds)


@pytest.mark.parametrize("inside", [True, False])
def test_a_settlement_from_a_finaliser_inside_the_ledger_waits_its_turn(inside):
    """A finaliser may run in the middle of the ledger's own work, in the thread that holds its lock: no deadlock, no loss."""
    ledger = Ledger()
    account = ledger.account("a", Rule(tokens=10), 0.0)
    hold, _, _ = ledger.hold((account,), lambda _: Amount(1, 4), 0.0, anyway=False)
    assert hold is not None
    if inside:
        with ledger._lock:
            hold.settle(Amount(1, 3))
        assert account.spent.tokens == 0
    else:
        hold.settle(Amount(1, 3))
    assert ledger.rows(0.0)[0]["tokens"] == 3
    assert account.held.tokens == 0
