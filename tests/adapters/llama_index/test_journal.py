"""A journal under this framework: a program run again gives the same, by a strict replay in which no endpoint is asked."""

from __future__ import annotations

import pytest

from tests.adapters.llama_index.programs import ASYNC, SYNC, seen
from tests.support.columns import ASYNC as ASYNC_CALLS
from tests.support.columns import ONCE
from tests.support.journaled import atwice, twice


@pytest.mark.shows(ONCE)
@pytest.mark.parametrize("name", SYNC)
def test_sync_program(name, endpoint, tmp_path):
    """Every call is answered from the journal, and none is made."""
    program, *_ = SYNC[name]
    first, second, _ = twice(tmp_path / "j", endpoint, lambda: program(endpoint.base_url))
    assert seen(second) == seen(first)


#: Tools that are answered at once end in another order; a tool that failed is run again, which a strict replay refuses.
OTHERWISE = {"parallel tools", "failing tool"}


@pytest.mark.shows(ONCE, ASYNC_CALLS)
@pytest.mark.parametrize("name", [name for name in ASYNC if name not in OTHERWISE])
async def test_async_program(name, endpoint, tmp_path):
    """The same in an event loop."""
    program, *_ = ASYNC[name]
    first, second, _ = await atwice(tmp_path / "j", endpoint, lambda: program(endpoint.base_url))
    assert seen(second) == seen(first)
