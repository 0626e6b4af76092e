"""Code that a model wrote: a refusal is what a failed run prints, and goes to the model as that does."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from aios_adapters.calls import atool_call
from aios_adapters.metagpt._identity import FRAMEWORK
from aios_kernel.abi import ToolCall

if TYPE_CHECKING:
    from aios_kernel.errors import SyscallError

__all__ = ["run_cell", "run_script", "run_text"]

Function = Callable[..., Any]


def run_text(native: Function) -> Function:
    """Gate Python code that is run in this process; the result is (output, error)."""

    async def run_text(cls: Any, *args: Any, **kwargs: Any) -> Any:
        code = args[0] if args else kwargs.get("code")

        def build() -> ToolCall:
            return ToolCall(name="RunCode", arguments={"language": "python", "code": code}, code=True)

        call = lambda: native(cls, *args, **kwargs)  # noqa: E731
        key = (FRAMEWORK, id(cls), id(code))
        return await atool_call(FRAMEWORK, build, call, _unrun, failed=_failed_text, key=key)

    return run_text


def run_script(native: Function) -> Function:
    """Gate a command that runs generated files; the result is (standard output, standard error)."""

    async def run_script(self: Any, *args: Any, **kwargs: Any) -> Any:
        names = ("working_directory", "additional_python_paths", "command")
        given = {**dict(zip(names, args, strict=False)), **kwargs}

        def build() -> ToolCall:
            arguments = {
                "language": "sh",
                "code": " ".join(str(part) for part in given.get("command") or ()),
                "working_directory": str(given.get("working_directory", "")),
            }
            return ToolCall(name="RunCode", arguments=arguments, code=True)

        call = lambda: native(self, *args, **kwargs)  # noqa: E731
        return await atool_call(FRAMEWORK, build, call, _unrun, key=(FRAMEWORK, id(self), "run_script"))

    return run_script


def run_cell(native: Function) -> Function:
    """Gate a cell of a notebook; the result is (output, success). Its markdown is text, and no code."""

    async def run(self: Any, *args: Any, **kwargs: Any) -> Any:
        given = {**dict(zip(("code", "language"), args, strict=False)), **kwargs}
        code, language = given.get("code"), given.get("language", "python")

        def build() -> ToolCall | None:
            if language != "python":
                return None
            return ToolCall(name="ExecuteNbCode", arguments={"language": language, "code": code}, code=True)

        call = lambda: native(self, *args, **kwargs)  # noqa: E731
        key = (FRAMEWORK, id(self), id(code))
        return await atool_call(FRAMEWORK, build, call, _unrun_cell, failed=_failed_cell, key=key)

    return run


def _unrun(error: SyscallError) -> tuple[str, str]:
    return "", str(error)


def _unrun_cell(error: SyscallError) -> tuple[str, bool]:
    return str(error), False


def _failed_text(result: tuple[Any, Any]) -> BaseException | None:
    return RuntimeError(str(result[1])) if result[1] else None


def _failed_cell(result: tuple[Any, Any]) -> BaseException | None:
    return None if result[1] else RuntimeError(str(result[0]))
