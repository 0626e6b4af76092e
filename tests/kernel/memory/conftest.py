"""A kernel with a memory manager, and agents that use it in few words."""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from aios_kernel import Kernel
from aios_kernel.abi import Agent, MemoryCall
from aios_kernel.memory import MemoryManager


class Rig:
    """Kernels over one file; the time goes on by a second with each look at it."""

    def __init__(self, stack: contextlib.ExitStack, path: Path) -> None:
        self._stack, self.path = stack, path
        self._seconds, self._names = itertools.count(1000.0), itertools.count(1)
        self.kernel, self.manager = self.start()

    def start(self, **options: Any) -> tuple[Kernel, MemoryManager]:
        """Another kernel over the same file."""
        options = {"now": lambda: next(self._seconds), "new_id": lambda: f"n{next(self._names)}", **options}
        self.manager = MemoryManager(options.pop("store", self.path), **options)
        self.kernel = Kernel(managers=[self.manager])
        self._stack.callback(self.kernel.close)
        return self.kernel, self.manager

    def do(self, agent: str, verb: Any, /, *, kernel: Any = None, framework: str = "", **arguments: Any) -> Any:
        """One memory call, and its answer."""
        call = MemoryCall(agent=Agent(name=agent, framework=framework), verb=verb, arguments=arguments)
        with (kernel or self.kernel).syscall(call) as grant:
            return grant.reply().data


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[Rig]:
    """Everything of a test, closed with it."""
    with contextlib.ExitStack() as stack:
        yield Rig(stack, tmp_path / "memory.db")
