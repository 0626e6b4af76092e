"""Memory calls: one syscall each, nested ones of one store are a part of the outer, and refusals raise."""

from __future__ import annotations

import asyncio

import pytest

import aios_adapters
from aios_adapters.calls import amemory_call, memory_call
from aios_kernel.abi import MemoryCall
from aios_kernel.errors import AccessDenied
from aios_kernel.kernel import Kernel


def _build() -> MemoryCall:
    return MemoryCall(verb="add", arguments={"text": "x"})


def test_a_memory_call_is_one_syscall_and_gives_the_stores_own_result() -> None:
    """A store's method that calls another of the same store is one syscall; another store's is its own."""
    aios_adapters.enable()
    inner = lambda: memory_call("context", _build, lambda: "stored", key="a")  # noqa: E731
    assert memory_call("context", _build, inner, key="a") == "stored"
    assert aios_adapters.status().syscalls == {"memory": 1}
    assert memory_call("context", _build, inner, key="b") == "stored"
    assert aios_adapters.status().syscalls == {"memory": 3}


def test_in_an_event_loop_too() -> None:
    """The asynchronous form runs in the caller's loop."""
    aios_adapters.enable()

    async def store() -> str:
        return "stored"

    async def main() -> list[str]:
        return await asyncio.gather(*(amemory_call("context", _build, store, key=i) for i in range(3)))

    assert asyncio.run(main()) == ["stored"] * 3
    assert aios_adapters.status().syscalls == {"memory": 3}


def test_a_refused_memory_call_raises_and_runs_nothing() -> None:
    """What the access check refuses does not reach the store."""

    def refuse(call: object, process: object) -> None:
        raise AccessDenied("not yours")

    aios_adapters.enable(kernel=Kernel(checks=(refuse,)))
    ran: list[int] = []
    with pytest.raises(AccessDenied, match="not yours"):
        memory_call("context", _build, lambda: ran.append(1))
    assert ran == []
