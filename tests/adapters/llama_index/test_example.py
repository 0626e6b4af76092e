"""The example runs unchanged against an endpoint, under the kernel."""

from __future__ import annotations

from aios_evals.endpoint import Prompt, ToolCall
from tests.support.examples import run_example


def script(prompt: Prompt):
    """The clerk's three steps, then the writer's offer."""
    names = [tool["function"]["name"] for tool in prompt.tools]
    asked = [call["function"]["name"] for m in prompt.messages for call in m.get("tool_calls") or ()]
    if "price" not in names:
        return "Five pears for 20."
    steps = [
        ToolCall("price", {"item": "pear"}),
        ToolCall("total", {"price": 4, "count": 5}),
        ToolCall("handoff", {"to_agent": "writer", "reason": "the total is known"}),
    ]
    return steps[len(asked)]


def test_example(tmp_path):
    """It prints its tools' results and the offer, after four calls to the model."""
    ran = run_example("llama_index_team.py", script, tmp_path)
    assert ran.lines[-1] == "Five pears for 20."
    assert any("total({'price': 4, 'count': 5}) = 20" in line for line in ran.lines)
    assert ran.requests == 4
    assert "clerk" in ran.trace
