"""Tools and code executors: a refusal reaches the model in AutoGen's own form of a failed tool."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping
from importlib import import_module
from typing import TYPE_CHECKING, Any, NoReturn

from aios_adapters._handed import is_handed
from aios_adapters.autogen._cancel import cancellable
from aios_adapters.autogen._identity import FRAMEWORK
from aios_adapters.calls import atool_call, atool_stream, closing
from aios_kernel.abi import ToolCall

if TYPE_CHECKING:
    from aios_kernel.errors import SyscallError

__all__ = ["call_tool", "execute_code_blocks", "run_json", "run_json_stream"]

Function = Callable[..., Any]


def run_json(native: Function) -> Function:
    """Gate `run_json`; what it raises, the workbench makes a failed result of."""

    async def run_json(self: Any, *args: Any, **kwargs: Any) -> Any:
        use = _Use(self, args, kwargs)
        call = lambda: native(self, *args, **kwargs)  # noqa: E731
        return await atool_call(FRAMEWORK, use.build, call, _raise, key=use.key)

    return run_json


def run_json_stream(native: Function) -> Function:
    """Gate `run_json_stream`."""

    async def run_json_stream(self: Any, *args: Any, **kwargs: Any) -> AsyncIterator[Any]:
        use = _Use(self, args, kwargs)
        made = atool_stream(FRAMEWORK, use.build, lambda: native(self, *args, **kwargs), _raise, key=use.key)
        async with closing(made) as items:
            async for item in items:
                yield item

    return run_json_stream


def execute_code_blocks(native: Function) -> Function:
    """Gate the execution of code that a model wrote; a refusal is a result with an exit code."""

    async def execute_code_blocks(self: Any, *args: Any, **kwargs: Any) -> Any:
        blocks = args[0] if args else kwargs.get("code_blocks")

        def build() -> ToolCall:
            arguments = [{"language": block.language, "code": block.code} for block in blocks or ()]
            return ToolCall(name="execute_code_blocks", arguments=arguments, code=True)

        call = lambda: native(self, *args, **kwargs)  # noqa: E731
        key = (FRAMEWORK, id(self), id(blocks))
        made = atool_call(FRAMEWORK, build, call, _refused_code, failed=_failed_code, key=key)
        return await cancellable(made, args[1] if len(args) > 1 else kwargs.get("cancellation_token"))

    return execute_code_blocks


def call_tool(native: Function) -> Function:
    """Gate a workbench whose tools are not BaseTools, such as those of an MCP server."""

    async def call_tool(self: Any, *args: Any, **kwargs: Any) -> Any:
        given = {**dict(zip(("name", "arguments", "cancellation_token", "call_id"), args, strict=False)), **kwargs}
        name = str(given.get("name"))

        def build() -> ToolCall | None:
            if isinstance(self, import_module("autogen_core.tools").StaticWorkbench):
                return None  # its tools' `run_json` makes the syscall
            return ToolCall(name=name, arguments=given.get("arguments"), call_id=given.get("call_id"))

        def denied(error: SyscallError) -> Any:
            tools = import_module("autogen_core.tools")
            return tools.ToolResult(name=name, result=[tools.TextResultContent(content=str(error))], is_error=True)

        call = lambda: native(self, *args, **kwargs)  # noqa: E731
        key = (FRAMEWORK, id(self), name, id(given.get("arguments")))
        made = atool_call(FRAMEWORK, build, call, denied, failed=_failed_result, key=key)
        return await cancellable(made, given.get("cancellation_token"))

    return call_tool


class _Use:
    """One run of a tool."""

    def __init__(self, tool: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> None:
        self._tool = tool
        self._input = args[0] if args else kwargs.get("args")
        self._call_id = args[2] if len(args) > 2 else kwargs.get("call_id")
        # A subclass's method that calls the base's hands the same arguments on.
        self.key = (FRAMEWORK, id(tool), id(self._input))

    def build(self) -> ToolCall | None:
        """Make the Call; None for a tool of the kernel's, and for a handoff, the model's choice of the next speaker."""
        if is_handed(self._tool):
            return None
        function = getattr(self._tool, "_func", None)
        if getattr(function, "__qualname__", "").startswith("Handoff.handoff_tool"):
            return None
        return ToolCall(name=self._tool.name, arguments=self._input, call_id=self._call_id)


def _raise(error: SyscallError) -> NoReturn:
    raise error


def _refused_code(error: SyscallError) -> Any:
    return import_module("autogen_core.code_executor").CodeResult(exit_code=1, output=str(error))


def _failed_code(result: Any) -> BaseException | None:
    return RuntimeError(result.output) if getattr(result, "exit_code", 0) else None


def _failed_result(result: Any) -> BaseException | None:
    return RuntimeError(result.to_text()) if getattr(result, "is_error", False) else None
