"""Fixtures of the AG2 1.x tests: a scripted endpoint, and the kernel for one test."""

from __future__ import annotations

import pytest

from aios_evals.endpoint import Endpoint
from tests.adapters.ag2.programs import close_clients, script
from tests.support.fixtures import enabled
from tests.support.leftovers import pytest_configure, pytest_unconfigure

__all__ = ["enabled", "pytest_configure", "pytest_unconfigure"]


@pytest.fixture
def endpoint():
    with Endpoint(reply=script, reply_tokens=4) as running:
        yield running


@pytest.fixture(autouse=True)
async def closed():
    """AG2 has no way to close its clients: close what a test has left open, while its loop runs."""
    yield
    await close_clients()
