"""Fixtures of the litellm tests: a scripted endpoint, and the kernel for one test."""

from __future__ import annotations

import os
import warnings

# Before the first import of litellm: else it fetches its price list from the network.
os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"

import pytest

import aios_adapters
from aios_evals.endpoint import Endpoint, ToolCall


def script(prompt):
    """Call the first tool in answer to a user who says "weigh"."""
    if prompt.tools and prompt.last.get("role") == "user" and "weigh" in prompt.user_text:
        return ToolCall("weigh", {"what": "apple"})
    return "no tool" if prompt.tools else None


def pytest_configure(config):
    """Litellm's own warnings, and the connections that its clients keep open, are no failures of ours."""
    for line in ("ignore::DeprecationWarning", "ignore::UserWarning:pydantic", "ignore::ResourceWarning"):
        config.addinivalue_line("filterwarnings", line)
    config.addinivalue_line("filterwarnings", "ignore::pytest.PytestUnraisableExceptionWarning")


def pytest_unconfigure():
    """Connections that are still open at the end are litellm's."""
    warnings.simplefilter("ignore")


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
