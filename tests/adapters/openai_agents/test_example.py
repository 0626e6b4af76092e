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
        ToolCall("transfer_to_writer", {}),
    ]
    return steps[len(asked)]


def test_example(tmp_path):
    """It prints its tools' results and the offer, after four calls to the model."""
    ran = run_example("openai_agents_triage.py", script, tmp_path, OPENAI_AGENTS_DISABLE_TRACING="1")
    assert ran.lines[1:3] == ["clerk: 20", "Five pears for 20."]
    assert ran.requests == 4
    assert "clerk" in ran.trace
    assert "memory add" in ran.trace
