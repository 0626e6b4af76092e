"""Code that a model wrote: executors of every kind, and the `run_code` of agents without one."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from importlib import import_module
from typing import TYPE_CHECKING, Any

from aios_adapters.autogen_classic._identity import FRAMEWORK, scope
from aios_adapters.calls import tool_call
from aios_kernel.abi import ToolCall

if TYPE_CHECKING:
    from aios_kernel.errors import SyscallError

__all__ = ["execute_code_blocks", "run_code"]

Function = Callable[..., Any]


def execute_code_blocks(native: Function) -> Function:
    """Gate an executor; a refusal is a result with an exit code."""

    def execute_code_blocks(self: Any, *args: Any, **kwargs: Any) -> Any:
        blocks: Iterable[Any] = args[0] if args else kwargs.get("code_blocks", ())

        def build() -> ToolCall:
            arguments = [{"language": block.language, "code": block.code} for block in blocks]
            return ToolCall(name="execute_code_blocks", arguments=arguments, code=True)

        run = lambda: native(self, *args, **kwargs)  # noqa: E731
        key = (FRAMEWORK, id(self), id(blocks))
        return tool_call(FRAMEWORK, build, run, lambda error: _refused(native, error), failed=_failed, key=key)

    return execute_code_blocks


def run_code(native: Function) -> Function:
    """Gate an agent's own way to run one block of code; a refusal is an exit code and what it says."""

    def run_code(self: Any, *args: Any, **kwargs: Any) -> Any:
        code = args[0] if args else kwargs.get("code")

        def build() -> ToolCall:
            return ToolCall(name="run_code", arguments={"language": kwargs.get("lang"), "code": code}, code=True)

        with scope(self):
            run = lambda: native(self, *args, **kwargs)  # noqa: E731
            key = (FRAMEWORK, id(self), id(code))
            return tool_call(FRAMEWORK, build, run, lambda error: (1, str(error), None), failed=_failed_run, key=key)

    return run_code


def _refused(native: Function, error: SyscallError) -> Any:
    """Make a result of the class that the executor says it returns."""
    said = getattr(native, "__annotations__", {}).get("return")
    kind = getattr(native, "__globals__", {}).get(said) if isinstance(said, str) else said
    if not isinstance(kind, type) or not hasattr(kind, "model_fields"):
        kind = import_module("autogen.coding.base").CodeResult
    return kind(exit_code=1, output=str(error))


def _failed(result: Any) -> BaseException | None:
    return RuntimeError(result.output) if getattr(result, "exit_code", 0) else None


def _failed_run(result: tuple[Any, ...]) -> BaseException | None:
    return RuntimeError(str(result[1])) if result[0] else None
