"""Fixtures of the Agent Framework tests: a scripted endpoint, and the kernel for one test."""

from __future__ import annotations

from pathlib import Path

import pytest

import aios_adapters
from aios_evals.endpoint import Endpoint
from aios_kernel.abi import ToolCall
from aios_kernel.errors import AccessDenied
from aios_kernel.kernel import Kernel
from tests.adapters.agent_framework.programs import script

#: These programs, as their like everywhere, leave their HTTP clients to the garbage collector.
IGNORED = ("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning")


def pytest_collection_modifyitems(items):
    """Let what the clients leave open pass."""
    for item in items:
        if item.path.is_relative_to(Path(__file__).parent):
            for ignored in IGNORED:
                item.add_marker(pytest.mark.filterwarnings(ignored))


@pytest.fixture
def endpoint():
    with Endpoint(reply=script, reply_tokens=4) as running:
        yield running


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
