"""Tools: every run is a syscall; a refusal comes back as the message of a failed tool."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib import import_module
from typing import TYPE_CHECKING, Any

from aios_adapters._handed import is_handed
from aios_adapters.calls import atool_call, tool_call
from aios_adapters.langchain._leaves import NAME
from aios_kernel.abi import ToolCall

if TYPE_CHECKING:
    from aios_kernel.errors import SyscallError

__all__ = ["arun", "run"]

Function = Callable[..., Any]


class _Use:
    """One run of a tool."""

    def __init__(self, tool: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> None:
        self._tool = tool
        self._input = args[0] if args else kwargs.get("tool_input")
        self._call_id = kwargs.get("tool_call_id")
        # A subclass's `run` that calls the base's hands the same input on.
        self.key = (NAME, id(tool), id(self._input))

    def build(self) -> ToolCall | None:
        """Make the Call, without what the framework puts in for the tool's eyes only; None for a tool of the kernel's."""
        if is_handed(self._tool):
            return None
        given: Any = self._input
        if isinstance(given, dict):
            given = self._visible(given)
        return ToolCall(name=self._tool.name, arguments=given, call_id=self._call_id)

    def _visible(self, given: Any) -> Any:
        strip = getattr(self._tool, "_filter_injected_args", None)  # older cores have none
        return given if strip is None else strip(given)

    def denied(self, error: SyscallError) -> Any:
        """Answer a refused call as a failed one: an exception that ToolNode does not know would end the agent."""
        tools, handler = import_module("langchain_core.tools.base"), self._tool.handle_tool_error
        failure = tools.ToolException(str(error))
        content = tools._handle_tool_error(failure, flag=handler) if handler else str(error)
        if self._call_id:
            message: Any = import_module("langchain_core.messages").ToolMessage
            return message(content=content, name=self._tool.name, tool_call_id=self._call_id, status="error")
        if handler:
            return content
        raise failure from error


def run(native: Function) -> Function:
    """Gate `BaseTool.run`."""

    def run(self: Any, *args: Any, **kwargs: Any) -> Any:
        use = _Use(self, args, kwargs)
        call = lambda: native(self, *args, **kwargs)  # noqa: E731
        return tool_call(NAME, use.build, call, use.denied, failed=_failed, key=use.key)

    return run


def arun(native: Function) -> Function:
    """Gate `BaseTool.arun`."""

    async def arun(self: Any, *args: Any, **kwargs: Any) -> Any:
        use = _Use(self, args, kwargs)
        call = lambda: native(self, *args, **kwargs)  # noqa: E731
        return await atool_call(NAME, use.build, call, use.denied, failed=_failed, key=use.key)

    return arun


def _failed(result: Any) -> BaseException | None:
    """The error that the tool itself made a message of."""
    if getattr(result, "status", None) != "error":
        return None
    return import_module("langchain_core.tools.base").ToolException(str(result.content))
