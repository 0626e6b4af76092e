"""A journal under AutoGen: a program run again gives the same, asks no model and runs no tool or code."""

from __future__ import annotations

from typing import Any

import pytest

import aios_adapters
from tests.adapters.autogen.programs import PROGRAMS, client, seen
from tests.support.columns import ASYNC, CODE, ONCE, STREAM, TOOLS

pytestmark = pytest.mark.shows(ONCE, ASYNC)


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.shows(STREAM, TOOLS, CODE)
@pytest.mark.parametrize("name", PROGRAMS)
async def test_program(name, endpoint, tmp_path):
    """The whole result is the same, by a strict replay: every call is answered, none is made."""
    program, llm, tools = PROGRAMS[name]

    async def run(mode) -> Any:
        aios_adapters.enable(journal=tmp_path / "j", journal_mode=mode)
        kernel: Any = aios_adapters.kernel()
        try:
            async with client(endpoint.base_url) as model:
                return seen(await program(model)), kernel.journal.counts["replayed"], len(kernel.journal.left())
        finally:
            aios_adapters.disable()

    first, replayed, _ = await run("record")
    assert replayed == 0
    endpoint.reset()
    # What is nested in a tool that is answered is not asked for.
    inside = {"nested": 1}.get(name, 0)
    assert await run("strict") == (first, llm + tools - inside, inside)
    assert endpoint.requests == []
