"""Fixtures of the tests of AutoGen 0.2 and AG2 0.x: a scripted endpoint, an empty directory, the kernel for one test."""

from __future__ import annotations

import warnings

import pytest

from aios_evals.endpoint import Endpoint

with warnings.catch_warnings():  # of optional packages that are not there, while AutoGen is imported
    warnings.simplefilter("ignore")
    import autogen.oai.client

from tests.adapters.autogen_classic.programs import script
from tests.support.fixtures import enabled
from tests.support.leftovers import pytest_configure, pytest_unconfigure

__all__ = ["enabled", "pytest_configure", "pytest_unconfigure"]


@pytest.fixture(autouse=True)
def offline(monkeypatch, tmp_path):
    """AutoGen 0.2 counts a stream's tokens with tables that tiktoken downloads; caches and code go to the directory."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("AUTOGEN_USE_DOCKER", "0")
    if hasattr(autogen.oai.client, "count_token"):
        monkeypatch.setattr(autogen.oai.client, "count_token", lambda *_, **__: 7)


@pytest.fixture
def endpoint():
    with Endpoint(reply=script, reply_tokens=4) as running:
        yield running
