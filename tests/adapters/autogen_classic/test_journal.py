"""A journal under this framework: a program run again gives and prints the same, by a strict replay that asks no endpoint."""

from __future__ import annotations

import pytest

from tests.adapters.autogen_classic.programs import PROGRAMS, config, run
from tests.support.columns import CODE, ONCE, STREAM, TOOLS
from tests.support.journaled import journaled

pytestmark = pytest.mark.shows(ONCE, STREAM, TOOLS, CODE)


def _said(text):
    """What was printed, but for the announcement of a function that runs: one that is answered does not."""
    return [line for line in text.splitlines() if line and not line.startswith(">>>>>>>> EXECUTING")]


@pytest.mark.parametrize("name", PROGRAMS)
def test_program(name, endpoint, tmp_path, capsys):
    """Every call is answered from the journal, and none is made."""
    program, *_ = PROGRAMS[name]
    with journaled(tmp_path / "j"):
        first = run(program, config(endpoint.base_url))
    printed = _said(capsys.readouterr().out)
    endpoint.reset()
    with journaled(tmp_path / "j", "strict"):
        assert run(program, config(endpoint.base_url)) == first
    assert _said(capsys.readouterr().out) == printed
    assert endpoint.requests == []
