"""What models call the kernel's tools: full names hold a slash, which their APIs do not take."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["short_names"]

MAX_NAME = 64


def short_names(names: Iterable[str]) -> dict[str, str]:
    """By full name: the last part where that is enough, in characters that every API takes."""
    found: dict[str, str] = {}
    for name in sorted(names):
        short = re.sub(r"[^A-Za-z0-9_-]", "_", name.rpartition("/")[2])[:MAX_NAME]
        if short in found.values():
            short = re.sub(r"[^A-Za-z0-9_-]", "_", name)[:MAX_NAME]
        while short in found.values():
            short = f"{short[: MAX_NAME - 1]}_"
        found[name] = short
    return found
