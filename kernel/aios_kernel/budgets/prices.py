"""Prices of models by name pattern: a small table to start from, which users extend or replace."""

from __future__ import annotations

import fnmatch
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, cast

from aios_kernel.abi import Usage
from aios_kernel.errors import ConfigError

__all__ = ["AS_OF", "NANO", "SOURCE", "TABLE", "Price", "Prices"]

NANO = 1_000_000_000  # money is counted in whole billionths, so that many small sums are exact

#: When the table below was written down, and where the numbers are from.
AS_OF = "2025-08"
SOURCE = (
    "list prices per million tokens that the vendors published, written down by hand; neither complete nor kept up to "
    "date: check them against your own contract"
)


@dataclass(frozen=True, slots=True)
class Price:
    """What a million tokens cost, in one currency of your choice (the table: US dollars); `cached` None: as `input`."""

    input: float
    output: float = 0.0
    cached: float | None = None

    def cost(self, usage: Usage) -> int:
        """The price of a usage in billionths, rounded up."""
        cached = min(usage.cached_tokens, usage.input_tokens)
        rate = self.input if self.cached is None else self.cached
        per_million = (usage.input_tokens - cached) * self.input + cached * rate + usage.output_tokens * self.output
        return math.ceil(round(per_million * (NANO // 1_000_000), 6))


#: Model pattern -> price; the longest pattern that fits counts.
TABLE: dict[str, Price] = {
    "gpt-4o*": Price(2.50, 10.00, 1.25),
    "gpt-4o-mini*": Price(0.15, 0.60, 0.075),
    "gpt-4.1*": Price(2.00, 8.00, 0.50),
    "gpt-4.1-mini*": Price(0.40, 1.60, 0.10),
    "gpt-4.1-nano*": Price(0.10, 0.40, 0.025),
    "gpt-4-turbo*": Price(10.00, 30.00),
    "gpt-3.5-turbo*": Price(0.50, 1.50),
    "gpt-5*": Price(1.25, 10.00, 0.125),
    "gpt-5-mini*": Price(0.25, 2.00, 0.025),
    "gpt-5-nano*": Price(0.05, 0.40, 0.005),
    "o3*": Price(2.00, 8.00, 0.50),
    "o4-mini*": Price(1.10, 4.40, 0.275),
    "text-embedding-3-small*": Price(0.02),
    "text-embedding-3-large*": Price(0.13),
    "claude-3-5-haiku*": Price(0.80, 4.00, 0.08),
    "claude-3-5-sonnet*": Price(3.00, 15.00, 0.30),
    "claude-3-7-sonnet*": Price(3.00, 15.00, 0.30),
    "claude-sonnet-4*": Price(3.00, 15.00, 0.30),
    "claude-opus-4*": Price(15.00, 75.00, 1.50),
}

Given = Mapping[str, Any]


class Prices:
    """Look prices up; `given` adds patterns to the table or replaces its own.

    A price is a `Price`, a number (for all tokens) or {"input", "output", "cached"}, per million tokens.
    """

    def __init__(self, given: Given | None = None) -> None:
        self._table = {**TABLE, **{pattern: _price(pattern, value) for pattern, value in (given or {}).items()}}

    def of(self, model: str) -> Price | None:
        """The price of a model; None where no pattern fits."""
        fits = [pattern for pattern in self._table if fnmatch.fnmatchcase(model, pattern)]
        return self._table[max(fits, key=len)] if fits else None


def _price(pattern: str, value: Any) -> Price:
    try:
        if isinstance(value, Mapping):
            found = Price(**{str(key): float(one) for key, one in cast("Mapping[str, Any]", value).items()})
        else:
            found = value if isinstance(value, Price) else Price(float(value), float(value))
    except (TypeError, ValueError) as error:
        raise ConfigError(f"price of {pattern!r} is {value!r}: use a number or {{input, output, cached}}") from error
    if min(found.input, found.output, found.cached or 0.0) < 0:
        raise ConfigError(f"price of {pattern!r} is {value!r}: use 0 or more")
    return found
