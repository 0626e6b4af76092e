"""The example runs unchanged against an endpoint, under the kernel."""

from __future__ import annotations

from aios_evals.endpoint import Prompt, ToolCall
from tests.support.examples import run_example

STEPS = [
    ToolCall("price", {"item": "pear"}),
    ToolCall("total", {"price": 4, "count": 5}),
    ToolCall("task_writer", {"objective": "offer 5 pears for 20"}),
    "Five pears for 20.",
]


def script(prompt: Prompt):
    """The clerk's three tools and its answer; the writer's offer between them."""
    if not prompt.tools:
        return "5 pears: 20"
    asked = [call for message in prompt.messages for call in message.get("tool_calls") or ()]
    return STEPS[len(asked)]


def test_example(tmp_path):
    """It prints its calls of tools and the answer, after five calls to the model."""
    ran = run_example("ag2_team.py", script, tmp_path)
    assert [line.partition("(")[0] for line in ran.lines] == ["price", "total", "task_writer", "Five pears for 20."]
    assert ran.requests == 5
    assert "clerk" in ran.trace
    assert "writer" in ran.trace
