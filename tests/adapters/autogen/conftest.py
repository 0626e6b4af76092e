"""Fixtures of the AutoGen tests: a scripted endpoint, and the kernel for one test."""

from __future__ import annotations

import pytest

import aios_adapters
from aios_evals.endpoint import Endpoint
from tests.adapters.autogen.programs import script


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
