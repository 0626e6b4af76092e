"""Fixtures of the litellm tests: a scripted endpoint, and the kernel for one test."""

from __future__ import annotations

import importlib.util
import os

# Before the first import of litellm: else it fetches its price list from the network.
os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"

import litellm
import pytest
from litellm.caching.caching import Cache

from aios_evals.endpoint import Endpoint, ToolCall
from tests.support import leftovers
from tests.support.fixtures import enabled
from tests.support.leftovers import pytest_unconfigure

__all__ = ["enabled", "pytest_configure", "pytest_unconfigure"]


def script(prompt):
    """Call the first tool in answer to a user who says "weigh"."""
    if prompt.tools and prompt.last.get("role") == "user" and "weigh" in prompt.user_text:
        return ToolCall("weigh", {"what": "apple"})
    return "no tool" if prompt.tools else None


def pytest_configure(config):
    """Litellm's own warnings, and the connections that its clients keep open, are no failures of ours."""
    leftovers.pytest_configure(config)
    for line in ("ignore::DeprecationWarning", "ignore::UserWarning:pydantic"):
        config.addinivalue_line("filterwarnings", line)


@pytest.fixture
def endpoint():
    with Endpoint(reply=script, reply_tokens=4) as running:
        yield running


@pytest.fixture
def cache():
    """Newer versions look into their cache by a module of their proxy, whose requirements are many and heavy."""
    if importlib.util.find_spec("litellm.chat_completions") is not None:
        pytest.importorskip("soundfile", reason="litellm[proxy] is not installed")
    litellm.cache = Cache(type="local")
    yield
    litellm.cache = None
