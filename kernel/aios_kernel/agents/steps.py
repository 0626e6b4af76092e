"""Run an agent that is written once, as a generator of steps, in a thread or in an event loop.

Each step is a call and, for what the kernel does not answer itself, the work that is done under its grant. The
generator is sent the result, or has the error raised where it yielded.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Generator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, TypeVar

from aios_kernel.errors import CoreError

if TYPE_CHECKING:
    from aios_kernel.abi import Call
    from aios_kernel.gate import Gate, Grant

__all__ = ["Program", "Step", "arun", "run"]

T = TypeVar("T")
CORE = "give it a core with llm=, or have a kernel with one by `aios serve --model NAME`"
FOLDER = "or have one by enable(data=FOLDER), AIOS_DATA or `aios serve`"
#: What to do where nothing serves calls of a kind.
REMEDIES = {
    "memory": f"give it a MemoryManager by Kernel(managers=[...]), {FOLDER}",
    "storage": f"give it a StorageManager by Kernel(managers=[...]), {FOLDER}",
    "tool": f"give it a ToolManager by Kernel(managers=[...]), {FOLDER}",
}


@dataclass(frozen=True, slots=True)
class Step:
    """One call; `work` runs while it is granted and may return an awaitable. Without it the kernel's core answers."""

    call: Call
    work: Callable[[], Any] | None = None


Program = Generator[Step, Any, T]


def run(gate: Gate, program: Program[T]) -> T:
    """Run a program in this thread; awaitables that its work returns are an error here."""
    send: Callable[[], Step] = lambda: next(program)  # noqa: E731
    try:
        while True:
            step = send()
            try:
                result = _take(gate, step)
            except Exception as error:  # noqa: BLE001 - it is the program's to handle
                send = _throwing(program, error)
            else:
                send = _sending(program, result)
    except StopIteration as stop:
        return stop.value
    finally:
        program.close()


async def arun(gate: Gate, program: Program[T]) -> T:
    """Run a program in the caller's event loop."""
    send: Callable[[], Step] = lambda: next(program)  # noqa: E731
    try:
        while True:
            try:
                step = send()
            except StopIteration as stop:  # it may not leave a coroutine
                return stop.value
            try:
                result = await _atake(gate, step)
            except Exception as error:  # noqa: BLE001 - it is the program's to handle
                send = _throwing(program, error)
            else:
                send = _sending(program, result)
    finally:
        program.close()


def _sending(program: Program[Any], result: Any) -> Callable[[], Step]:
    return lambda: program.send(result)


def _throwing(program: Program[Any], error: Exception) -> Callable[[], Step]:
    return lambda: program.throw(error)


def _take(gate: Gate, step: Step) -> Any:
    with gate.syscall(_asked(step)) as grant:
        if step.work is None:
            return _served(grant, step).reply()
        result = step.work()
        if inspect.isawaitable(result):
            if inspect.iscoroutine(result):
                result.close()
            raise TypeError(f"{step.call.label!r} is asynchronous: run the agent with `await agent.arun(...)`")
        return result


async def _atake(gate: Gate, step: Step) -> Any:
    async with gate.syscall(_asked(step)) as grant:
        if step.work is None:
            return await _served(grant, step).areply()
        result = step.work()
        return await result if inspect.isawaitable(result) else result


def _asked(step: Step) -> Call:
    """The call; work of the agent's own is done under a lease, also where a manager serves such calls."""
    return step.call if step.work is None else replace(step.call, lease=True)


def _served(grant: Grant, step: Step) -> Grant:
    if grant.lease:
        raise CoreError(f"this kernel does not serve {step.call.label!r}: {REMEDIES.get(step.call.kind, CORE)}")
    return grant
