"""The example runs unchanged against an endpoint, under the kernel."""

from __future__ import annotations

from aios_evals.endpoint import Prompt, ToolCall
from tests.support.examples import run_example


def script(prompt: Prompt):
    """The clerk's two tools and its answer, then the offer."""
    if not prompt.tools:
        return "Five pears for 20."
    steps = [ToolCall("price", {"item": "pear"}), ToolCall("total", {"price": 4, "count": 5}), "20 in all."]
    return steps[sum(message["role"] == "tool" for message in prompt.messages)]


def test_example(tmp_path):
    """It prints its tools' results and the offer, after four calls to the model."""
    ran = run_example("autogen_team.py", script, tmp_path)
    assert ran.lines[1:] == ["price: 4", "total: 20", "clerk: 20 in all.", "writer: Five pears for 20."]
    assert ran.requests == 4
    assert "clerk" in ran.trace
    assert "writer" in ran.trace
