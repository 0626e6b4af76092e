"""Who is calling: the role whose step runs, told apart by its object."""

from __future__ import annotations

import itertools
import weakref
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

from aios_adapters.identity import framework_agent

__all__ = ["FRAMEWORK", "own"]

FRAMEWORK = "metagpt"
Function = Callable[..., Any]

#: The number of every role that is alive, by its id: a team may have many of one name, and MetaGPT knows them by profile.
_numbers: dict[int, tuple[weakref.ref[Any], int]] = {}
_next = itertools.count(1)


def own(native: Function) -> Function:
    """Run a coroutine method as the role it belongs to; roles of one environment run at the same time."""

    async def call(self: Any, *args: Any, **kwargs: Any) -> Any:
        with _scope(self):
            return await native(self, *args, **kwargs)

    return call


def _scope(role: Any) -> AbstractContextManager[Any]:
    name = role.name or role.profile or type(role).__name__
    return framework_agent(str(name), framework=FRAMEWORK, instance=f"role-{_number(role)}", unique=True)


def _number(role: Any) -> int:
    key = id(role)
    found = _numbers.get(key)
    if found is None:
        found = _numbers[key] = (weakref.ref(role, lambda _: _numbers.pop(key, None)), next(_next))
    return found[1]
