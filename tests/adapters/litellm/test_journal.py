"""A journal under this framework: a program run again gives the same, by a strict replay in which no endpoint is asked."""

from __future__ import annotations

import pytest

from tests.adapters.litellm.programs import ASYNC, SYNC, seen
from tests.support.columns import ASYNC as ASYNC_CALLS
from tests.support.columns import ONCE
from tests.support.journaled import journaled

#: litellm's own streams are not kept: their calls are made again.
WHOLE, AWHOLE = ([name for name in programs if "stream" not in name] for programs in (SYNC, ASYNC))


@pytest.mark.shows(ONCE)
@pytest.mark.parametrize("name", WHOLE)
def test_sync_program(name, endpoint, tmp_path):
    """Every call is answered from the journal, and none is made."""
    program, *_ = SYNC[name]
    with journaled(tmp_path / "j"):
        first = seen(program(endpoint.base_url))
    endpoint.reset()
    with journaled(tmp_path / "j", "strict"):
        assert seen(program(endpoint.base_url)) == first
    assert endpoint.requests == []


@pytest.mark.shows(ONCE, ASYNC_CALLS)
@pytest.mark.parametrize("name", AWHOLE)
async def test_async_program(name, endpoint, tmp_path):
    """The same in an event loop."""
    program, *_ = ASYNC[name]
    with journaled(tmp_path / "j"):
        first = seen(await program(endpoint.base_url))
    endpoint.reset()
    with journaled(tmp_path / "j", "strict"):
        assert seen(await program(endpoint.base_url)) == first
    assert endpoint.requests == []
