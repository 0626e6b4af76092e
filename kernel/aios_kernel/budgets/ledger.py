"""The ledger: what each account has spent and what open calls hold, changed by one call at a time."""

from __future__ import annotations

import threading
from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from aios_kernel.budgets.prices import NANO
from aios_kernel.budgets.rules import Rule

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

__all__ = ["Account", "Amount", "Hold", "Ledger"]


@dataclass(slots=True)
class Amount:
    """Calls, tokens and money (in billionths)."""

    calls: int = 0
    tokens: int = 0
    money: int = 0

    def add(self, other: Amount, times: int = 1) -> None:
        """Add another amount, or take it off."""
        self.calls += times * other.calls
        self.tokens += times * other.tokens
        self.money += times * other.money


@dataclass(slots=True)
class Account:
    """What one agent, group or kernel may use, has used, and holds for its open calls."""

    name: str
    rule: Rule
    started: float
    spent: Amount = field(default_factory=Amount)
    held: Amount = field(default_factory=Amount)

    def lacks(self, wanted: Amount, now: float) -> str:
        """Say what there is too little of for a call; "" where it fits."""
        for name in ("calls", "tokens", "money"):
            limit, spent, held = (getattr(one, name) for one in (self.rule, self.spent, self.held))
            if limit is not None and spent + held + getattr(wanted, name) > limit:
                need, told = _shown(name, getattr(wanted, name)), f"{_shown(name, spent)} of {_shown(name, limit)}"
                return f"{told} {name} are spent, open calls hold {_shown(name, held)}, and this one may use {need}"
        if self.rule.seconds is not None and now - self.started > self.rule.seconds:
            return f"{now - self.started:.3g} of {self.rule.seconds:.3g} seconds are over"
        return ""

    def row(self, now: float) -> dict[str, Any]:
        """Describe the account, for people: limits, what is spent, held and left."""
        row: dict[str, Any] = {"account": self.name, "then": self.rule.then}
        for name in ("calls", "tokens", "money"):
            limit, spent, held = (getattr(one, name) for one in (self.rule, self.spent, self.held))
            unit = NANO if name == "money" else 1
            row[name] = spent / unit if unit > 1 else spent
            if limit is not None:
                row[f"{name}_limit"] = limit / unit if unit > 1 else limit
                left = max(0, limit - spent - held)
                row[f"{name}_left"] = left / unit if unit > 1 else left
        row["seconds"] = now - self.started
        if self.rule.seconds is not None:
            row["seconds_limit"] = self.rule.seconds
            row["seconds_left"] = max(0.0, self.rule.seconds - row["seconds"])
        if self.rule.repeats is not None:
            row["repeats_limit"] = self.rule.repeats
        return row


class Hold:
    """What one open call holds in its accounts, until it is settled.

    `settle` may be called from any thread and from a finaliser; a later one corrects the one before it.
    """

    __slots__ = ("_ledger", "accounts", "amount", "charged")

    def __init__(self, ledger: Ledger, accounts: tuple[Account, ...], amount: Amount) -> None:
        self._ledger, self.accounts, self.amount = ledger, accounts, amount
        self.charged: Amount | None = None

    def settle(self, used: Amount) -> None:
        """Give back what was held, and charge what was used."""
        self._ledger.settle(self, used)


class Ledger:
    """Accounts under one lock, held for a few additions and never while anything else is called.

    A finaliser may settle while its own thread is inside: settlements queue up, and whoever has the lock does them.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._accounts: dict[str, Account] = {}
        self._settled: deque[tuple[Hold, Amount]] = deque()
        self._repeated: dict[str, tuple[str, int]] = {}

    def account(self, name: str, rule: Rule, now: float) -> Account:
        """The account of that name, opened when it is first asked for."""
        found = self._accounts.get(name)
        return found if found is not None else self._accounts.setdefault(name, Account(name, rule, now))

    def hold(
        self, accounts: tuple[Account, ...], wanted: Callable[[Account], Amount], now: float, *, anyway: bool
    ) -> tuple[Hold | None, Account | None, str]:
        """Hold what a call wants in all its accounts or in none; say which one lacks what. `anyway` holds it all the same."""
        amounts = [wanted(account) for account in accounts]
        most = Amount(*(max(getattr(a, name) for a in amounts) for name in ("calls", "tokens", "money")))
        with self._lock:
            self._drain()
            short = ((account, account.lacks(amount, now)) for account, amount in zip(accounts, amounts, strict=True))
            poor, lacks = next(((account, lacks) for account, lacks in short if lacks), (None, ""))
            if poor is not None and not (anyway or poor.rule.then == "pause"):
                return None, poor, lacks
            for account in accounts:
                account.held.add(most)
        return Hold(self, accounts, most), poor, lacks

    def settle(self, hold: Hold, used: Amount) -> None:
        """Queue a settlement, and do it unless somebody else is about to."""
        self._settled.append((hold, used))
        # Whoever holds the lock may have looked already: try again until nothing is left or somebody else is at it.
        while self._settled and self._lock.acquire(blocking=False):
            try:
                self._drain()
            finally:
                self._lock.release()

    def repeated(self, who: str, what: str) -> int:
        """How often in a row, this time included, an agent has asked for the same."""
        with self._lock:
            last, count = self._repeated.get(who, ("", 0))
            count = count + 1 if last == what else 1
            self._repeated[who] = (what, count)
            return count

    def raise_limit(self, account: str, more: Amount, seconds: float) -> bool:
        """Allow an account more; False where there is none of that name."""
        from dataclasses import replace

        with self._lock:
            self._drain()
            found = self._accounts.get(account)
            if found is None:
                return False
            given = {"calls": more.calls, "tokens": more.tokens, "money": more.money, "seconds": seconds}
            limits = {name: getattr(found.rule, name) for name in given}
            found.rule = replace(
                found.rule, **{name: limits[name] + given[name] for name in given if limits[name] is not None}
            )
            return True

    def rows(self, now: float) -> list[dict[str, Any]]:
        """Describe every account."""
        with self._lock:
            self._drain()
            accounts: Iterable[Account] = list(self._accounts.values())
            return [account.row(now) for account in accounts]

    def _drain(self) -> None:
        while self._settled:
            hold, used = self._settled.popleft()
            before = hold.charged
            hold.charged = used
            for account in hold.accounts:
                if before is None:
                    account.held.add(hold.amount, -1)
                else:
                    account.spent.add(before, -1)
                account.spent.add(used)


def _shown(name: str, value: int) -> str:
    return f"{value / NANO:.6g}" if name == "money" else str(value)
