"""The context variables of ours, and how they cross into threads that would lose them."""

from __future__ import annotations

import contextlib
from collections.abc import Generator
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from aios_kernel.identity import current_agent, open_tasks

if TYPE_CHECKING:
    from aios_kernel.gate import Grant

__all__ = [
    "CARRIED",
    "DEFAULTS",
    "Claim",
    "Values",
    "assigned",
    "capture",
    "carried",
    "claimed",
    "kept_grants",
    "memory_stack",
    "paused",
    "tool_stack",
]

T = TypeVar("T")
Values = tuple[Any, ...]


class Claim:
    """One LLM syscall under way: what runs below it passes through, for as long as it is open.

    A thread or task that outlives the call keeps its context; it must not be silenced for ever, so claims close.
    """

    __slots__ = ("grant", "open")

    def __init__(self, grant: Grant) -> None:
        self.grant = grant
        self.open = True


#: The LLM syscall this context is inside of.
claimed: ContextVar[Claim | None] = ContextVar("aios_claim", default=None)
#: Whether calls of this context are native.
paused: ContextVar[bool] = ContextVar("aios_paused", default=False)
#: Keys of the tool calls this context is inside of, innermost last.
tool_stack: ContextVar[tuple[Any, ...]] = ContextVar("aios_tools", default=())

#: Keys of the memory calls this context is inside of.
memory_stack: ContextVar[tuple[Any, ...]] = ContextVar("aios_memory", default=())

#: Where the grants go that streams keep, while somebody gives them back who leaves such streams early.
kept_grants: ContextVar[list[Grant] | None] = ContextVar("aios_kept", default=None)

CARRIED: tuple[ContextVar[Any], ...] = (current_agent, open_tasks, claimed, paused, tool_stack, memory_stack)
DEFAULTS: Values = (None, (), None, False, (), ())


def capture() -> Values | None:
    """The values of this context; None when all are the defaults."""
    values = tuple(variable.get() for variable in CARRIED)
    return None if values == DEFAULTS else values


class assigned(Generic[T]):  # noqa: N801 - reads as a verb: `with assigned(variable, value)`
    """Set one variable inside `with`. Leaving in another context, as a collected generator does, is harmless."""

    __slots__ = ("_token", "_value", "_variable")

    def __init__(self, variable: ContextVar[T], value: T) -> None:
        self._variable, self._value = variable, value

    def __enter__(self) -> None:
        self._token = self._variable.set(self._value)

    def __exit__(self, *_: object) -> None:
        # ValueError: the generator or task is being closed from a context other than the one that entered.
        with contextlib.suppress(ValueError):
            self._variable.reset(self._token)


@contextlib.contextmanager
def carried(values: Values) -> Generator[None, None, None]:
    """Have `values` in this context inside `with`."""
    tokens = [variable.set(value) for variable, value in zip(CARRIED, values, strict=True)]
    try:
        yield
    finally:
        for variable, token in zip(CARRIED, tokens, strict=True):
            variable.reset(token)
