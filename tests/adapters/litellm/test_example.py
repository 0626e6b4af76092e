"""The example runs unchanged against an endpoint, under the kernel."""

from __future__ import annotations

from aios_evals.endpoint import Prompt, ToolCall
from tests.support.examples import run_example

STEPS = [
    ToolCall("stock", {"item": "pear"}),
    ToolCall("order", {"item": "pear", "count": 7}),
    "There are 10 pears now.",
]


def script(prompt: Prompt):
    """The next step after the tools that were called."""
    return STEPS[sum(message.get("role") == "tool" for message in prompt.messages)]


def test_example(tmp_path):
    """It prints what its tools did and the answer, after three calls to the model; each is a syscall."""
    ran = run_example("litellm_agent.py", script, tmp_path)
    assert ran.lines == ["stock: 3 left", "order: ordered 7, now 10", "There are 10 pears now."]
    assert ran.requests == 3
    assert "chat some-model" in ran.trace
