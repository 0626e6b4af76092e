"""What can be compared of two runs of one program: its result, and the requests it sent."""

from __future__ import annotations

import json
import re
from collections.abc import Callable

from aios_evals.endpoint import Endpoint

__all__ = ["comparer", "requests"]

_ALWAYS = (
    (r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}", "ID"),
    (r" at 0x[0-9a-f]+", ""),
)


def comparer(*varying: tuple[str, str]) -> Callable[[object], str]:
    """Make a function that shows the whole of a result but for what differs from run to run, as patterns and names."""
    patterns = [(re.compile(pattern), name) for pattern, name in (*_ALWAYS, *varying)]

    def seen(result: object) -> str:
        text = repr(result)
        for pattern, name in patterns:
            text = pattern.sub(name, text)
        return text

    return seen


def requests(endpoint: Endpoint) -> list[str]:
    """Every request in full; calls that overlap may arrive in any order."""
    shown = [(r.method, r.path, sorted(r.headers.items()), r.body) for r in endpoint.requests]
    return sorted(json.dumps(one) for one in shown)
