"""Replies: whatever an agent does to answer a message, it does as itself."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from aios_adapters.autogen_classic import _code
from aios_adapters.autogen_classic._cover import cover
from aios_adapters.autogen_classic._identity import FRAMEWORK, scope
from aios_adapters.autogen_classic._kept import conversations
from aios_adapters.calls import visit

__all__ = ["agenerate_reply", "generate_reply"]

Function = Callable[..., Any]


def generate_reply(native: Function) -> Function:
    """Make a reply as the agent whose reply it is."""

    def generate_reply(self: Any, *args: Any, **kwargs: Any) -> Any:
        _cover_executor(self)
        with scope(self):
            at = visit(self, conversations, dict)
            if at is not None:
                at.before()  # it replies to what it remembers
            return native(self, *args, **kwargs)

    return generate_reply


def agenerate_reply(native: Function) -> Function:
    """Make a reply as the agent whose reply it is, in a coroutine."""

    async def a_generate_reply(self: Any, *args: Any, **kwargs: Any) -> Any:
        _cover_executor(self)
        with scope(self):
            at = visit(self, conversations, dict)
            if at is not None:
                await at.abefore()
            return await native(self, *args, **kwargs)

    return a_generate_reply


def _cover_executor(agent: Any) -> None:
    """An executor need not be a subclass of CodeExecutor; AutoGen's own for IPython is none."""
    executor = getattr(agent, "_code_executor", None)
    if executor is not None:
        cover(FRAMEWORK, executor, "execute_code_blocks", _code.execute_code_blocks)
