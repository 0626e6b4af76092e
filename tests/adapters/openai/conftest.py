"""An endpoint and clients, without a session before and after each test."""

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
def endpoint():
    with Endpoint(reply_tokens=6) as endpoint:
        yield endpoint


@pytest.fixture
def client(endpoint):
    with openai.OpenAI(base_url=endpoint.base_url, api_key="test") as client:
        yield client


@pytest.fixture
def requests(endpoint):
    """What the endpoint was sent since the last reset."""

    def read():
        return [
            (r.method, r.path, {key: value for key, value in r.headers.items() if key != "host"}, r.body)
            for r in endpoint.requests
        ]

    return read


@pytest.fixture
def running():
    """How many calls hold a grant."""
    return lambda: sum(queue["running"] for queue in aios_adapters.status().kernel.resources)
