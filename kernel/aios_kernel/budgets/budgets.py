"""Budgets at the gate: hold a call's worst case when it is admitted, charge what it used when it ends."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from aios_kernel.abi import LLMCall, ToolCall, Usage
from aios_kernel.budgets.ledger import Account, Amount, Hold, Ledger
from aios_kernel.budgets.prices import NANO, Prices
from aios_kernel.budgets.rules import parse, scopes_of
from aios_kernel.errors import BudgetExceeded, UnknownName
from aios_kernel.fingerprint import fingerprint

if TYPE_CHECKING:
    from collections.abc import Mapping

    from aios_kernel.abi import Call
    from aios_kernel.process import Process

__all__ = ["Budgets", "Charge"]

REMEDY = "raise the budget (`budgets=`, or `kernel.budgets.allow(...)` while it runs)"


class Charge:
    """One call's place in the books, from its admission to its end.

    The end may be told more than once, by whoever knows of it first; a usage that becomes known later corrects the books.
    """

    __slots__ = ("_budgets", "_call", "_done", "_hold")

    def __init__(self, budgets: Budgets, call: Call, hold: Hold) -> None:
        self._budgets, self._call, self._hold = budgets, call, hold
        self._done = False

    def undo(self) -> None:
        """The call never ran: it costs nothing."""
        if not self._done:
            self._done = True
            self._hold.settle(Amount())

    def end(self, usage: Usage | None, error: BaseException | None = None) -> None:
        """The call ran. Where nobody knows what it used, a failure costs no tokens, and anything else what was held."""
        if self._done and usage is None:
            return
        self._done = True
        if usage is None:
            held, nothing = self._hold.amount, Amount(calls=self._hold.amount.calls)
            self._hold.settle(nothing if isinstance(error, Exception) else held)
            return
        self._hold.settle(self._budgets.amount(self._call, usage))


class Budgets:
    """Who may use how much, by scope: "*" (each agent), "agent:NAME", "group:NAME", "kernel".

    Each is {"calls", "tokens", "money", "seconds", "repeats"} (all optional) and "then": "raise" `BudgetExceeded`, "pause"
    the agent with its call waiting, or "kill" it. With "reserve": "worst", a byte of a prompt is held as a token, and a call
    has to name its longest output. Raises `ConfigError`. Thread-safe.
    """

    def __init__(self, budgets: Mapping[str, Mapping[str, Any]], prices: Mapping[str, Any] | None = None) -> None:
        self.rules = parse(budgets)
        self.prices = Prices(prices)
        self._ledger = Ledger()

    def admit(self, call: Call, process: Process, now: float) -> tuple[Charge | None, str]:
        """Hold what the call may use; with it comes "pause" where it has to wait for somebody's decision.

        Raises `BudgetExceeded`, whose `kill` says whether the agent's life ends with it.
        """
        accounts = tuple(
            self._ledger.account(name, self.rules[scope], now) for name, scope in scopes_of(process.agent, self.rules)
        )
        if not accounts:
            return None, ""
        again = self._repeats(call, process, accounts)
        hold, poor, lacks = self._ledger.hold(
            accounts,
            lambda account: self._wanted(call, account, process),
            now,
            anyway=bool(again) and again[0].rule.then == "pause",
        )
        if poor is None and again:
            poor, lacks = again
        if poor is None:
            return Charge(self, call, hold) if hold else None, ""
        if poor.rule.then == "pause" and hold is not None:
            return Charge(self, call, hold), "pause"
        if hold is not None:
            hold.settle(Amount())
        raise _exceeded(call, process, poor, lacks)

    def allow(self, account: str, *, calls: int = 0, tokens: int = 0, money: float = 0.0, seconds: float = 0.0) -> None:
        """Give an account more of what it has a limit of; paused agents go on by `kernel.resume(pid)`. Raises `UnknownName`."""
        if not self._ledger.raise_limit(account, Amount(calls, tokens, round(money * NANO)), seconds):
            raise UnknownName("account", account, [row["account"] for row in self._ledger.rows(0.0)])

    def status(self, now: float) -> list[dict[str, Any]]:
        """Every account that was used: what is spent and what is left, as plain data."""
        return self._ledger.rows(now)

    def renew(self) -> Budgets:
        """The same rules with empty books, for a forked child."""
        fresh = Budgets({})
        fresh.rules, fresh.prices = self.rules, self.prices
        return fresh

    def amount(self, call: Call, usage: Usage) -> Amount:
        """What a call cost that used so much."""
        price = self.prices.of(call.model) if isinstance(call, LLMCall) else None
        return Amount(_counts(call), usage.total_tokens, price.cost(usage) if price is not None else 0)

    def _repeats(self, call: Call, process: Process, accounts: tuple[Account, ...]) -> tuple[Account, str] | None:
        limits = [(account.rule.repeats, account) for account in accounts if account.rule.repeats is not None]
        if not limits or not _counts(call):
            return None
        limit, account = min(limits, key=lambda one: one[0])
        count = self._ledger.repeated(
            f"{process.agent.name}/{process.agent.framework}/{process.agent.instance}", fingerprint(call)
        )
        return None if count <= limit else (account, f"it makes the same request {count} times in a row, a loop")

    def _wanted(self, call: Call, account: Account, process: Process) -> Amount:
        if not isinstance(call, LLMCall):
            return Amount(_counts(call))
        if account.rule.money is not None and self.prices.of(call.model) is None:
            lacks = f"model {call.model!r} has no price, so nobody knows what it costs (prices={{{call.model!r}: ...}})"
            raise _exceeded(call, process, account, lacks, kill=False)
        usage = call.estimated_usage
        if account.rule.reserve == "worst":
            usage = Usage(input_tokens=_bytes(call), output_tokens=usage.output_tokens * max(1, call.sampling.n))
            if call.sampling.max_tokens is None and call.kind == "llm":
                raise _exceeded(call, process, account, "it names no longest output (max_tokens)", kill=False)
        return self.amount(call, usage)


def _counts(call: Call) -> int:
    """Calls to models and tools count as calls; reads and writes of the kernel's own stores do not."""
    return int(isinstance(call, (LLMCall, ToolCall)))


def _bytes(call: LLMCall) -> int:
    """No tokenizer of ours or of the vendors makes more tokens of a text than it has bytes; the marks between messages are counted by their JSON."""
    asked = [getattr(call, name, None) for name in ("messages", "tools", "prompt", "inputs", "response_format")]
    return len(json.dumps(asked, default=str, ensure_ascii=False).encode())


def _exceeded(
    call: Call, process: Process, account: Account, lacks: str, *, kill: bool | None = None
) -> BudgetExceeded:
    ends = account.rule.then == "kill" if kill is None else kill
    what = "and the agent is killed" if ends else REMEDY
    error = BudgetExceeded(
        f"budget of {account.name}: {lacks}. {call.label!r} of agent {process.name!r} is refused: {what}"
    )
    error.kill = ends
    return error
