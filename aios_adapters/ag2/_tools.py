"""Tools: a refusal is AG2's own event of a tool that failed, which its model reads."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import TYPE_CHECKING, Any

from aios_adapters.ag2._identity import FRAMEWORK
from aios_adapters.calls import atool_call
from aios_kernel.abi import ToolCall

if TYPE_CHECKING:
    from aios_kernel.errors import SyscallError

__all__ = ["call"]

Function = Callable[..., Any]
#: Where the functions are defined that run what a model wrote, in a sandbox.
_CODE = ("ag2.tools.code.", "ag2.tools.shell.")


def call(native: Function) -> Function:
    """Gate a tool's call."""

    async def __call__(self: Any, *args: Any, **kwargs: Any) -> Any:  # noqa: N807
        event = args[0] if args else kwargs["event"]

        def build() -> ToolCall:
            runs: Any = getattr(getattr(self, "model", None), "call", None)
            return ToolCall(
                name=event.name,
                arguments=_arguments(event),
                call_id=event.id,
                code=f"{getattr(runs, '__module__', '')}.".startswith(_CODE),
            )

        def denied(error: SyscallError) -> Any:
            # AG2 shows its model the traceback, and ours would tell it nothing.
            return import_module("ag2.events").ToolErrorEvent.from_call(event, error=error.with_traceback(None))

        run = lambda: native(self, *args, **kwargs)  # noqa: E731
        return await atool_call(FRAMEWORK, build, run, denied, failed=_failed, key=(FRAMEWORK, id(self), event.id))

    return __call__


def _arguments(event: Any) -> Any:
    """The arguments as the tool gets them; the text itself where it is no JSON."""
    try:
        return event.serialized_arguments
    except ValueError:
        return event.arguments


def _failed(result: Any) -> BaseException | None:
    return getattr(result, "error", None)
