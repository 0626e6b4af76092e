"""Fixtures of the OpenAI Agents SDK tests: a scripted endpoint, and the kernel for one test."""

from __future__ import annotations

import pytest
from agents import set_tracing_disabled

from aios_evals.endpoint import Endpoint
from tests.adapters.openai_agents.programs import script
from tests.support.fixtures import deny, enabled
from tests.support.leftovers import pytest_configure, pytest_unconfigure

__all__ = ["deny", "enabled", "pytest_configure", "pytest_unconfigure"]

set_tracing_disabled(True)  # its traces would go to OpenAI


@pytest.fixture
def endpoint():
    with Endpoint(reply=script, reply_tokens=4) as running:
        yield running
