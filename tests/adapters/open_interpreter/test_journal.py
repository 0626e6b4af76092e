"""A journal under Open Interpreter: a conversation that is run again gives the same, asks no model and runs no code."""

from __future__ import annotations

import pytest

from tests.adapters.open_interpreter.programs import PROGRAMS, chat, outputs, script, seen, stream
from tests.support.columns import CODE, ONCE, STREAM, TOOLS
from tests.support.halfway import killed_at, unnumbered
from tests.support.journaled import journaled, twice

pytestmark = pytest.mark.shows(ONCE, CODE)
MODES = pytest.mark.parametrize("functions", [False, True], ids=["text", "tools"])


@MODES
@pytest.mark.shows(TOOLS)
def test_conversation(functions, endpoint, tmp_path):
    """Its messages, by a strict replay; the shell that would say 42 is not asked."""
    first, second, replayed = twice(tmp_path / "j", endpoint, lambda: chat(endpoint.base_url, functions=functions))
    assert second == first
    assert outputs(second[0]) == ["answer-42"]
    assert replayed == 3


@MODES
@pytest.mark.shows(STREAM)
def test_streamed(functions, endpoint, tmp_path):
    """Every chunk, delimiters and confirmations included."""
    first, second, replayed = twice(tmp_path / "j", endpoint, lambda: stream(endpoint.base_url, functions=functions))
    assert second == first
    assert replayed == 3


def test_code_does_not_act_twice(endpoint, tmp_path):
    """What it did is done once."""
    done = tmp_path / "done"
    for _ in range(2):
        with journaled(tmp_path / "j"):
            chat(endpoint.base_url, f"run: echo x >> {done}; echo done")
    assert done.read_text() == "x\n"
    assert len(endpoint.requests) == 2


@pytest.mark.parametrize("number", [1, 2])
@pytest.mark.parametrize("name", PROGRAMS)
def test_killed_halfway(name, number, endpoint, tmp_path):
    """What it was answered is not asked for again, nor is code run that had run; the result is that of a whole run."""
    native = seen(PROGRAMS[name][0](endpoint.base_url))
    result, requests, recorded = killed_at(number, "tests.adapters.open_interpreter.programs", name, script, tmp_path)
    assert unnumbered(result) == unnumbered(native)
    assert (requests, recorded) == (3, {"llm": 2, "tool": 1})
