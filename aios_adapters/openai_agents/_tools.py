"""Function tools: every use is a syscall; a refusal is told to the model as any failure of the tool is."""

from __future__ import annotations

import json
from collections.abc import Callable
from importlib import import_module
from typing import TYPE_CHECKING, Any

from aios_adapters.calls import atool_call
from aios_adapters.openai_agents._identity import NAME
from aios_kernel.abi import ToolCall

if TYPE_CHECKING:
    from aios_kernel.errors import SyscallError

__all__ = ["invoke"]

Function = Callable[..., Any]
_TOOL = "agents.tool"


class _Refused:
    """The kernel's answer, until the tool's own way to tell of a failure has made a message of it."""

    def __init__(self, error: SyscallError) -> None:
        self.error = error


def invoke(native: Function) -> Function:
    """Gate one use of a function tool: also those of MCP servers, agents as tools, and in realtime sessions."""

    async def invoke(*args: Any, **kwargs: Any) -> Any:
        tool, context, arguments = kwargs.get("function_tool"), kwargs.get("context"), kwargs.get("arguments")

        def build() -> ToolCall:
            return ToolCall(
                name=getattr(tool, "name", ""),
                arguments=_read(arguments),
                call_id=getattr(context, "tool_call_id", None),
            )

        result = await atool_call(NAME, build, lambda: native(*args, **kwargs), _Refused, failed=_failed)
        return await _told(tool, context, result.error) if isinstance(result, _Refused) else result

    return invoke


async def _told(tool: Any, context: Any, error: SyscallError) -> Any:
    """Tell the model in the tool's own words, or the run's; without any, the reason.

    The SDK's default hides the error and asks to try again, and a tool that has no words at all would end the run.
    """
    module: Any = import_module(_TOOL)
    say = module.maybe_invoke_function_tool_failure_error_function
    message = await say(function_tool=tool, context=context, error=error)
    by_default = module._consume_function_tool_default_failure(context)
    formatted = getattr(getattr(context, "run_config", None), "tool_error_formatter", None) is not None
    unsaid = message is None or (by_default and not formatted)
    return module._FunctionToolInvocationResult(
        str(error) if unsaid else message, is_sdk_generated_error=by_default or unsaid
    )


def _failed(result: Any) -> BaseException | None:
    """The error that the SDK made a message of."""
    return RuntimeError(str(result.output)) if getattr(result, "is_sdk_generated_error", False) else None


def _read(arguments: Any) -> Any:
    """The arguments as an object; as the model wrote them where they are none."""
    try:
        return json.loads(arguments or "{}")
    except (TypeError, ValueError):
        return arguments
