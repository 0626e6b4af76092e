"""Classes that AutoGen knows by their methods alone: they are patched when an object of one is first seen."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from types import ModuleType
from typing import Any, cast

from aios_adapters import session
from aios_adapters.patching import Moved, Patch

__all__ = ["cover"]

Function = Callable[..., Any]


def cover(group: str, thing: Any, method: str, wrap: Callable[[Function], Function]) -> None:
    """Patch `method` in the class that gives it to `thing`; `disable()` restores it as it does every other."""
    now = session.current()
    owner = next((cls for cls in type(thing).__mro__ if method in vars(cls)), None)
    if now is None or owner is None:
        return
    # TypeError: the class is closed to changes, as one written in C is; its calls stay native.
    with contextlib.suppress(Moved, TypeError):
        now.patcher.apply(cast("ModuleType", owner), [Patch(module=owner.__module__, path=method, wrap=wrap)], group)
    if now.ended:  # between the two lines above
        now.patcher.undo(group)
