"""The example runs unchanged against an endpoint, under the kernel."""

from __future__ import annotations

from aios_evals.endpoint import Prompt, ToolCall
from tests.support.examples import run_example


def script(prompt: Prompt):
    """The price, the total, an offer that the writer words."""
    names = [tool["function"]["name"] for tool in prompt.tools]
    asked = [call["function"]["name"] for m in prompt.messages for call in m.get("tool_calls") or ()]
    if "price" not in names:
        return "Five pears for 20."
    steps = [
        ToolCall("price", {"item": "pear"}),
        ToolCall("total", {"price": 4, "count": 5}),
        ToolCall("writer", {"task": "5 pears, 20"}),
        "Here is the offer: Five pears for 20.",
    ]
    return steps[len(asked)]


def test_example(tmp_path):
    """It prints its tools' results and the offer, after five calls to the model."""
    ran = run_example("agent_framework_tools.py", script, tmp_path)
    assert ran.lines[-1] == "Here is the offer: Five pears for 20."
    assert "20" in ran.lines
    assert ran.requests == 5
    assert "clerk" in ran.trace
    assert "writer" in ran.trace
