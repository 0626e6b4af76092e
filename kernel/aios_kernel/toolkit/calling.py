"""Running a tool: attempts, coroutines, what it raises, and its result as plain data."""

from __future__ import annotations

import asyncio
import inspect
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from aios_kernel.errors import SyscallError, ToolFailed

if TYPE_CHECKING:
    from aios_kernel.toolkit.running import Running
    from aios_kernel.toolkit.tool import Tool

__all__ = ["Prepared", "attempted", "plain"]


@dataclass(frozen=True, slots=True)
class Prepared:
    """A call that may be run: its tool, and arguments that fit."""

    tool: Tool
    arguments: dict[str, Any]


def attempted(state: Running, prepared: Prepared) -> Any:
    """Run the tool, again where it may be and the last attempt failed."""
    tool = prepared.tool
    left = tool.retries
    while True:
        try:
            return _called(state, tool, prepared.arguments)
        except SyscallError:  # the kernel refused a call of the tool's, or the tool says by itself what is wrong
            raise
        except BaseException as error:
            if left and isinstance(error, Exception) and not state.stopped.is_set():
                left -= 1
                continue
            said = f"raised {type(error).__name__}: {error}" if isinstance(error, Exception) else f"left by {error!r}"
            raise ToolFailed(f"{tool.name} {said}") from error


def _called(state: Running, tool: Tool, arguments: dict[str, Any]) -> Any:
    result = tool.run(**arguments)
    return asyncio.run(_awaited(state, result)) if inspect.isawaitable(result) else result


async def _awaited(state: Running, result: Any) -> Any:
    """Wait for a coroutine, which a stopped call cancels."""
    loop, task = asyncio.get_running_loop(), asyncio.ensure_future(result)
    with state.stopping(lambda: loop.call_soon_threadsafe(task.cancel)):
        return await task


def plain(result: Any) -> Any:
    """The result as plain JSON data, which crosses to other processes; what JSON has no form for becomes text."""
    if result is None or isinstance(result, (str, bool, int, float)):
        return result
    try:
        return json.loads(json.dumps(result, default=str, ensure_ascii=False))
    except (TypeError, ValueError):  # keys that are no text, or something that contains itself
        return repr(result)
