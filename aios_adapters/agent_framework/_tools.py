"""Tools: every use is a syscall; a refusal is the tool's result, because the framework hides errors from the model."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib import import_module
from typing import TYPE_CHECKING, Any

from aios_adapters.agent_framework._identity import NAME
from aios_adapters.calls import atool_call
from aios_kernel.abi import ToolCall

if TYPE_CHECKING:
    from aios_kernel.errors import SyscallError

__all__ = ["invoke"]

Function = Callable[..., Any]


def invoke(native: Function) -> Function:
    """Gate one use of a tool: functions, agents as tools, tools of MCP servers."""

    async def invoke(self: Any, *args: Any, **kwargs: Any) -> Any:
        given, call_id = kwargs.get("arguments"), kwargs.get("tool_call_id")

        def build() -> ToolCall:
            return ToolCall(name=self.name, arguments=_arguments(kwargs), call_id=call_id)

        def denied(error: SyscallError) -> Any:
            if kwargs.get("skip_parsing"):
                return str(error)
            return [import_module("agent_framework").Content.from_text(str(error))]

        key = (NAME, id(self), id(given), call_id)
        return await atool_call(NAME, build, lambda: native(self, *args, **kwargs), denied, key=key)

    return invoke


def _arguments(kwargs: Mapping[str, Any]) -> Any:
    """The arguments by name, wherever they were given."""
    context = kwargs.get("context")
    given = kwargs.get("arguments")
    given = getattr(context, "arguments", None) if given is None else given
    if given is None:
        own = ("arguments", "context", "tool_call_id", "skip_parsing")
        return {key: value for key, value in kwargs.items() if key not in own}
    return given.model_dump() if hasattr(given, "model_dump") else dict(given)
