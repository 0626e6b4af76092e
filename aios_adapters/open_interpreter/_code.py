"""Code: every run in the terminal is a syscall; a refusal comes back as the run's output, which the model reads."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from aios_adapters.calls import tool_call, tool_stream
from aios_adapters.open_interpreter._identity import FRAMEWORK, agent_of
from aios_kernel.abi import ToolCall

if TYPE_CHECKING:
    from aios_kernel.errors import SyscallError

__all__ = ["run"]

TOOL = "execute"  # what the model knows it as
Function = Callable[..., Any]


def run(native: Function) -> Function:
    """Wrap `Terminal.run`, which returns its output, or yields it."""

    def run(self: Any, language: Any, code: Any, stream: Any = False, display: Any = False) -> Any:
        def build() -> ToolCall:
            arguments = {"language": language, "code": code}
            agent = agent_of(self.computer.interpreter)
            return ToolCall(name=TOOL, arguments=arguments, code=True, agent=agent)

        call = lambda: native(self, language, code, stream, display)  # noqa: E731
        key = (FRAMEWORK, id(self))  # a run that first runs a preamble of its own is one
        if stream:
            return _streamed(build, call, key)
        return tool_call(FRAMEWORK, build, call, _denied, key=key)

    return run


def _streamed(build: Callable[[], ToolCall], call: Callable[[], Any], key: Any) -> Iterator[Any]:
    """A refused run yields its reason. Closing reaches the language, which stops."""
    yield from tool_stream(FRAMEWORK, build, call, _denied, key=key)


def _denied(error: SyscallError) -> list[dict[str, Any]]:
    return [{"type": "console", "format": "output", "content": str(error)}]
