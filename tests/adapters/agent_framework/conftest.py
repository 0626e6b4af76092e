"""Fixtures of the Agent Framework tests: a scripted endpoint, and the kernel for one test."""

from __future__ import annotations

import pytest

from aios_evals.endpoint import Endpoint
from tests.adapters.agent_framework.programs import script
from tests.support.fixtures import deny, enabled
from tests.support.leftovers import pytest_configure, pytest_unconfigure

__all__ = ["deny", "enabled", "pytest_configure", "pytest_unconfigure"]


@pytest.fixture
def endpoint():
    with Endpoint(reply=script, reply_tokens=4) as running:
        yield running
