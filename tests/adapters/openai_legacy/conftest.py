"""The module-level configuration of the 0.x SDK, pointed at an endpoint."""

from __future__ import annotations

import openai
import pytest

import aios_adapters
from aios_evals.endpoint import Endpoint


@pytest.fixture(autouse=True)
def clean(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    aios_adapters.disable()
    yield
    aios_adapters.disable()


@pytest.fixture
def endpoint(monkeypatch):
    with Endpoint(reply_tokens=6) as endpoint:
        monkeypatch.setattr(openai, "api_base", endpoint.base_url)
        monkeypatch.setattr(openai, "api_key", "test")
        yield endpoint


@pytest.fixture
def running():
    """How many calls hold a grant."""
    return lambda: sum(queue["running"] for queue in aios_adapters.status().kernel.resources)
