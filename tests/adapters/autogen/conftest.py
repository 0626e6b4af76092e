"""Fixtures of the AutoGen tests: a scripted endpoint, and the kernel for one test."""

from __future__ import annotations

import pytest

from aios_evals.endpoint import Endpoint
from tests.adapters.autogen.programs import script
from tests.support.fixtures import enabled

__all__ = ["enabled"]


@pytest.fixture
def endpoint():
    with Endpoint(reply=script, reply_tokens=4) as running:
        yield running
