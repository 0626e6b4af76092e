"""A journal under this framework: a program that is run again, also after `kill -9`, gives the same and repeats no call."""

from __future__ import annotations

import pytest

from tests.adapters.openai_agents.programs import ASYNC, script, seen
from tests.support.columns import ASYNC as ASYNCHRONOUS
from tests.support.columns import ONCE, STREAM, TOOLS
from tests.support.halfway import killed_at, unnumbered
from tests.support.journaled import atwice

pytestmark = pytest.mark.shows(ONCE, ASYNCHRONOUS)
#: A tool that failed is no answer: it runs again, which a strict replay refuses.
WHOLE = [name for name in ASYNC if name != "failing tool"]


@pytest.mark.shows(STREAM, TOOLS)
@pytest.mark.parametrize("name", WHOLE)
async def test_program(name, endpoint, tmp_path):
    """Every call is answered from the journal, and none is made."""
    program, llm, tools = ASYNC[name]
    first, second, replayed = await atwice(tmp_path / "j", endpoint, lambda: program(endpoint.base_url))
    assert seen(second) == seen(first)
    assert replayed == llm + tools


@pytest.mark.shows(STREAM, TOOLS)
@pytest.mark.parametrize("number", [1, 2])
@pytest.mark.parametrize("name", ["tool", "streamed", "responses streamed", "session"])
async def test_killed_halfway(name, number, endpoint, tmp_path):
    """What it was answered is not asked for again, nor is a tool run that had run; the result is that of a whole run."""
    program, llm, tools = ASYNC[name]
    native = seen(await program(endpoint.base_url))
    result, requests, recorded = killed_at(number, "tests.adapters.openai_agents.programs", name, script, tmp_path)
    assert unnumbered(result) == unnumbered(native)
    assert requests == llm + 1  # the one during which it was killed
    assert recorded == {"llm": llm, "tool": tools}
