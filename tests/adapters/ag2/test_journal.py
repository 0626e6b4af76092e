"""A journal under this framework: a program run again gives the same, by a strict replay in which no endpoint is asked."""

from __future__ import annotations

import pytest

from tests.adapters.ag2.programs import PROGRAMS
from tests.support.columns import ASYNC, ONCE, STREAM, TOOLS
from tests.support.journaled import atwice

pytestmark = pytest.mark.shows(ONCE, ASYNC, STREAM, TOOLS)


@pytest.mark.parametrize("name", PROGRAMS)
async def test_program(name, endpoint, tmp_path):
    """Every call is answered from the journal, and none is made."""
    program, *_ = PROGRAMS[name]
    first, second, replayed = await atwice(tmp_path / "j", endpoint, lambda: program(endpoint.base_url))
    assert second == first
    assert replayed
