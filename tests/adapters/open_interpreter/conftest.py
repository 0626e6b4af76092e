"""Fixtures of the Open Interpreter tests: a scripted endpoint, and the kernel for one test."""

from __future__ import annotations

import pytest

from aios_evals.endpoint import Endpoint
from tests.support import leftovers
from tests.support.fixtures import enabled
from tests.support.leftovers import pytest_unconfigure

__all__ = ["enabled", "pytest_configure", "pytest_unconfigure"]


def pytest_configure(config):
    """Open Interpreter imports pkg_resources, and leaves shells and sockets to the collector."""
    leftovers.pytest_configure(config)
    for line in ("ignore::DeprecationWarning", "ignore::UserWarning"):
        config.addinivalue_line("filterwarnings", line)


@pytest.fixture
def endpoint():
    from tests.adapters.open_interpreter.programs import script

    with Endpoint(reply=script, reply_tokens=4) as running:
        yield running
