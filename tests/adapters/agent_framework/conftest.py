"""Fixtures of the Agent Framework tests: a scripted endpoint, and the kernel for one test."""

from __future__ import annotations

from pathlib import Path

import pytest

from aios_evals.endpoint import Endpoint
from tests.adapters.agent_framework.programs import script
from tests.support.fixtures import deny, enabled

__all__ = ["deny", "enabled"]

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
