"""Budgets as they are asked for: whose they are, how much of what, and what happens at the end."""

from __future__ import annotations

import fnmatch
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, cast

from aios_kernel.budgets.prices import NANO
from aios_kernel.errors import ConfigError, UnknownName

if TYPE_CHECKING:
    from aios_kernel.abi import Agent

__all__ = ["Rule", "parse", "scopes_of"]

AMOUNTS = ("calls", "tokens", "money", "seconds", "repeats")
CHOICES = {"then": ("raise", "pause", "kill"), "reserve": ("estimate", "worst")}


@dataclass(frozen=True, slots=True)
class Rule:
    """How much an account may use; None: as much as it likes. `money` is in billionths.

    `repeats` is how often in a row one agent may make the same request. `then` is what happens to a call that does not
    fit; `reserve` is what is held for a call before its usage is known.
    """

    calls: int | None = None
    tokens: int | None = None
    money: int | None = None
    seconds: float | None = None
    repeats: int | None = None
    then: Literal["raise", "pause", "kill"] = "raise"
    reserve: Literal["estimate", "worst"] = "estimate"


def parse(budgets: Mapping[str, Mapping[str, Any]]) -> dict[str, Rule]:
    """Read budgets by scope: "*", "agent:NAME", "group:NAME" (patterns too) and "kernel". Raises `ConfigError`."""
    return {_scope(scope): _rule(scope, values) for scope, values in budgets.items()}


def scopes_of(agent: Agent, rules: Mapping[str, Rule]) -> list[tuple[str, str]]:
    """The accounts an agent's calls are charged to, as (account, scope of its rule).

    Its own: by the rule of its name, else a pattern that fits, else "*", which gives each instance an account. Its
    group's and those around it. The kernel's.
    """
    found: list[tuple[str, str]] = []
    mine = _fitting(f"agent:{agent.name}", rules)
    if mine:
        found.append((f"agent:{agent.name}", mine))
    elif "*" in rules:
        told_apart = "/".join(part for part in (agent.framework, agent.instance) if part)
        found.append((f"agent:{agent.name}" + (f" ({told_apart})" if told_apart else ""), "*"))
    parts = agent.group.split("/") if agent.group else []
    for length in range(1, len(parts) + 1):
        account = "group:" + "/".join(parts[:length])
        if scope := _fitting(account, rules):
            found.append((account, scope))
    if "kernel" in rules:
        found.append(("kernel", "kernel"))
    return found


def _fitting(account: str, rules: Mapping[str, Rule]) -> str:
    if account in rules:
        return account
    kind = account.partition(":")[0] + ":"
    return next((one for one in rules if one.startswith(kind) and fnmatch.fnmatchcase(account, one)), "")


def _scope(scope: str) -> str:
    kind, _, name = scope.partition(":")
    if scope in {"*", "kernel"} or (kind in {"agent", "group"} and name):
        return scope
    raise ConfigError(f"budget of {scope!r}: use '*', 'agent:NAME', 'group:NAME' or 'kernel'")


def _rule(scope: str, values: Any) -> Rule:
    if not isinstance(values, Mapping):
        raise ConfigError(f"budget of {scope!r} is {values!r}: use a mapping such as {{'tokens': 10000}}")
    given = cast("Mapping[str, Any]", values)
    for key, value in given.items():
        if key in CHOICES:
            if value not in CHOICES[key]:
                raise UnknownName(f"{key} of the budget of {scope!r}", value, CHOICES[key])
        elif key not in AMOUNTS:
            raise UnknownName(f"budget of {scope!r}", key, (*AMOUNTS, *CHOICES))
        elif isinstance(value, bool) or not isinstance(value, (int, float)) or value < 0:
            raise ConfigError(f"{key} of the budget of {scope!r} is {value!r}: use a number, 0 or more")
    return Rule(**{key: _amount(key, value) for key, value in given.items()})


def _amount(key: str, value: Any) -> Any:
    if key == "money":
        return round(value * NANO)
    return int(value) if key in {"calls", "tokens", "repeats"} else value
