"""A journal under this framework: a program run again gives the same, by a strict replay in which no endpoint is asked."""

from __future__ import annotations

import pytest

from tests.adapters.metagpt.programs import PROGRAMS, seen
from tests.support.columns import ASYNC, ONCE, STREAM, TOOLS
from tests.support.journaled import journaled

pytestmark = pytest.mark.shows(ONCE, ASYNC, STREAM, TOOLS)


@pytest.mark.parametrize("name", PROGRAMS)
async def test_program(name, endpoint, tmp_path):
    """Every call is answered from the journal, and none is made."""
    program, *_ = PROGRAMS[name]
    with journaled(tmp_path / "j"):
        first = await program(endpoint.base_url)
    endpoint.reset()
    with journaled(tmp_path / "j", "strict") as journal:
        second = await program(endpoint.base_url)
        assert journal.counts["replayed"]
    assert endpoint.requests == []
    assert seen(second) == seen(first)
