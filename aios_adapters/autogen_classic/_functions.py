"""Functions that an agent runs for a model: a refusal is a function that failed, in AutoGen's own words."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from aios_adapters.autogen_classic._identity import FRAMEWORK, scope
from aios_adapters.calls import atool_call, tool_call
from aios_kernel.abi import ToolCall

if TYPE_CHECKING:
    from aios_kernel.errors import SyscallError

__all__ = ["aexecute", "execute"]

Function = Callable[..., Any]
Result = tuple[bool, dict[str, Any]]


def execute(native: Function) -> Function:
    """Gate `execute_function`."""

    def execute_function(self: Any, *args: Any, **kwargs: Any) -> Result:
        one = _Use(self, args, kwargs)
        with scope(self):
            run = lambda: native(self, *args, **kwargs)  # noqa: E731
            return tool_call(FRAMEWORK, one.build, run, one.denied, failed=_failed, key=one.key)

    return execute_function


def aexecute(native: Function) -> Function:
    """Gate `a_execute_function`."""

    async def a_execute_function(self: Any, *args: Any, **kwargs: Any) -> Result:
        one = _Use(self, args, kwargs)
        with scope(self):
            run = lambda: native(self, *args, **kwargs)  # noqa: E731
            return await atool_call(FRAMEWORK, one.build, run, one.denied, failed=_failed, key=one.key)

    return a_execute_function


class _Use:
    """One function call of a model; AG2 hands its id on too."""

    def __init__(self, agent: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> None:
        self._asked: Mapping[str, Any] = args[0] if args else kwargs["func_call"]
        second = args[1] if len(args) > 1 else None
        self._call_id = kwargs.get("call_id", second if isinstance(second, str) else None)
        # A subclass's method that calls the base's hands the same call on.
        self.key = (FRAMEWORK, id(agent), id(self._asked))

    def build(self) -> ToolCall:
        """Make the Call."""
        return ToolCall(
            name=str(self._asked.get("name", "")),
            arguments=_arguments(self._asked.get("arguments", "{}")),
            call_id=self._call_id,
        )

    def denied(self, error: SyscallError) -> Result:
        """Say it as AutoGen says that a function raised."""
        return False, {"name": self._asked.get("name", ""), "role": "function", "content": f"Error: {error}"}


def _arguments(text: Any) -> Any:
    """The arguments as the function gets them; the text itself where it is no JSON."""
    try:
        return json.loads(text)
    except (TypeError, ValueError):
        return text


def _failed(result: Result) -> BaseException | None:
    return None if result[0] else RuntimeError(str(result[1].get("content")))
