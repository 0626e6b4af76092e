"""Fixtures of the LlamaIndex tests: a scripted endpoint, and the kernel for one test."""

from __future__ import annotations

from pathlib import Path

import pytest

from aios_evals.endpoint import Endpoint
from tests.adapters.llama_index.programs import script
from tests.support.fixtures import deny, enabled
from tests.support.leftovers import pytest_configure, pytest_unconfigure

__all__ = ["deny", "enabled", "pytest_configure", "pytest_unconfigure"]

#: LlamaIndex looks at every attribute of its own agents, also at those that pydantic says are old; and calls what its
#: own workflows say is old.
IGNORED = (
    "ignore::pydantic.warnings.PydanticDeprecationWarning",
    "ignore:is_running called:DeprecationWarning",
    # Its databases' threads may outlive the loop that they answer to.
    r"ignore:Exception in thread .*\(_connection_worker_thread\):pytest.PytestUnhandledThreadExceptionWarning",
)


def pytest_collection_modifyitems(items):
    """Let LlamaIndex's own deprecations pass."""
    for item in items:
        if item.path.is_relative_to(Path(__file__).parent):
            for ignored in IGNORED:
                item.add_marker(pytest.mark.filterwarnings(ignored))


@pytest.fixture
def endpoint():
    with Endpoint(reply=script, reply_tokens=4) as running:
        yield running
