"""The example runs unchanged against an endpoint, under the kernel."""

from __future__ import annotations

from aios_evals.endpoint import Prompt, ToolCall
from tests.support.examples import run_example

SHOWN = ["a function returned 4", "a function returned 20", "20 in all.", "It adds up."]


def script(prompt: Prompt):
    """The planner's two functions and its answer, then the reviewer's sentence."""
    if not prompt.tools:
        return "It adds up."
    asked = [call["function"]["name"] for m in prompt.messages for call in m.get("tool_calls") or ()]
    steps = [ToolCall("price", {"item": "pear"}), ToolCall("total", {"price": 4, "count": 5}), "20 in all. TERMINATE"]
    return steps[len(asked)]


def test_example(tmp_path):
    """It prints what its functions returned, the answer and the review, after four calls to the model."""
    ran = run_example("autogen_classic_chat.py", script, tmp_path)
    assert [line for line in ran.lines if line in SHOWN] == SHOWN, ran.lines
    assert ran.requests == 4
    assert all(name in ran.trace for name in ("planner", "reviewer", "runner"))
