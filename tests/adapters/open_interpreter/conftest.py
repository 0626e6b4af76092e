"""Fixtures of the Open Interpreter tests: a scripted endpoint, and the kernel for one test."""

from __future__ import annotations

import warnings

import pytest

import aios_adapters
from aios_evals.endpoint import Endpoint


def pytest_configure(config):
    """Open Interpreter imports pkg_resources, and leaves shells and sockets to the collector."""
    for line in (
        "ignore::DeprecationWarning",
        "ignore::UserWarning",
        "ignore::ResourceWarning",
        "ignore::pytest.PytestUnraisableExceptionWarning",
    ):
        config.addinivalue_line("filterwarnings", line)


def pytest_unconfigure():
    """Connections that are still open at the end are litellm's."""
    warnings.simplefilter("ignore")


@pytest.fixture
def endpoint():
    from tests.adapters.open_interpreter.programs import script

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
