"""Tools: every use is a syscall; a refusal is a ToolOutput that says it failed, as the agents make of what a tool raises."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextvars import ContextVar
from importlib import import_module
from typing import TYPE_CHECKING, Any

from aios_adapters._handed import is_handed
from aios_adapters.calls import atool_call, tool_call
from aios_adapters.llama_index._leaves import NAME
from aios_kernel.abi import ToolCall

if TYPE_CHECKING:
    from aios_kernel.errors import SyscallError

__all__ = ["acall", "call", "code_tool"]

Function = Callable[..., Any]
#: Tools that run nothing: the choice of the next agent, and the shape of an answer.
_NOT_RUN = frozenset(
    {
        ("llama_index.core.agent.workflow.multi_agent_workflow", "handoff"),
        ("llama_index.core.program.function_program", "model_fn"),
    }
)
#: The tool that runs model-written code, while the agent that has one uses it.
code_tool: ContextVar[Any] = ContextVar("aios_llama_index_code_tool", default=None)


def call(native: Function) -> Function:
    """Gate a tool's `call` and `__call__`."""

    def call(self: Any, *args: Any, **kwargs: Any) -> Any:
        use = _Use(self, args, kwargs)
        run = lambda: native(self, *args, **kwargs)  # noqa: E731
        return tool_call(NAME, use.build, run, use.denied, failed=_failed, key=use.key)

    return call


def acall(native: Function) -> Function:
    """Gate a tool's `acall`."""

    async def acall(self: Any, *args: Any, **kwargs: Any) -> Any:
        use = _Use(self, args, kwargs)
        run = lambda: native(self, *args, **kwargs)  # noqa: E731
        return await atool_call(NAME, use.build, run, use.denied, failed=_failed, key=use.key)

    return acall


class _Use:
    """One use of a tool."""

    def __init__(self, tool: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> None:
        # What makes a synchronous tool asynchronous hands the call on to it.
        self._tool = getattr(tool, "base_tool", tool)
        self._code = tool is code_tool.get()
        hidden = _hidden(self._tool)
        self._args = args
        self._kwargs = {key: value for key, value in kwargs.items() if key not in hidden}
        # A tool's methods call each other with the same arguments.
        given = (*map(id, args), *((key, id(value)) for key, value in sorted(self._kwargs.items())))
        self.key = (NAME, id(self._tool), given)

    def build(self) -> ToolCall | None:
        """Make the Call; None for a tool of the kernel's, or one of LlamaIndex's own that runs nothing."""
        if is_handed(self._tool):
            return None
        function: Any = getattr(self._tool, "_real_fn", None)
        if (getattr(function, "__module__", ""), getattr(function, "__name__", "")) in _NOT_RUN:
            return None
        return ToolCall(name=self._name, arguments=self._arguments, code=self._code)

    def denied(self, error: SyscallError) -> Any:
        """Answer a refused use as a failed one."""
        output = import_module("llama_index.core.tools.types").ToolOutput(
            content=str(error),
            tool_name=self._name,
            raw_input=self._arguments,
            raw_output=str(error),
            is_error=True,
        )
        if hasattr(output, "exception"):  # younger than 0.14.0
            output._exception = error
        return output

    @property
    def _name(self) -> str:
        return self._tool.metadata.name or type(self._tool).__name__

    @property
    def _arguments(self) -> dict[str, Any]:
        """The arguments by name: the model gives them so, and `call_tool` gives a single one without."""
        schema: Any = self._tool.metadata.get_parameters_dict() if self._args else {}
        names: list[str] = list(schema.get("properties") or ())
        names += [f"argument_{index}" for index in range(len(names), len(self._args))]
        return {**dict(zip(names, self._args, strict=False)), **self._kwargs}


def _hidden(tool: Any) -> set[str]:
    """What the program puts in beside what the model gives."""
    context = getattr(tool, "ctx_param_name", None)
    return {*(getattr(tool, "partial_params", None) or ()), *([context] if context else ())}


def _failed(output: Any) -> BaseException | None:
    """The error that a tool itself made an output of."""
    if not getattr(output, "is_error", False):
        return None
    return getattr(output, "exception", None) or RuntimeError(str(output))
