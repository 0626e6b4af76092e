"""Fixtures that the frameworks' tests share: a conftest imports those that it wants."""

from __future__ import annotations

import pytest

import aios_adapters
from aios_kernel.abi import ToolCall
from aios_kernel.errors import AccessDenied
from aios_kernel.kernel import Kernel

__all__ = ["deny", "enabled"]


@pytest.fixture
def enabled():
    """Enable for the rest of one test: `enabled(llm=core)`; returns the kernel."""

    def enable(**settings):
        aios_adapters.enable(strict=True, **settings)
        return aios_adapters.kernel()

    yield enable
    aios_adapters.disable()


@pytest.fixture
def deny(enabled):
    """A kernel that refuses one tool: `deny("weigh")`; `deny.calls` are those it was asked about."""
    kernels, calls = [], []

    def start(name, **settings):
        def check(call, process):
            calls.append(call)
            if isinstance(call, ToolCall) and call.name == name:
                raise AccessDenied(f"{process.name} may not use {name}")

        kernels.append(Kernel(checks=(check,), **settings))
        return enabled(kernel=kernels[-1])

    start.calls = calls
    yield start
    for kernel in kernels:
        kernel.close()
