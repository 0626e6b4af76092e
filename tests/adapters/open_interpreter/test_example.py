"""The example runs unchanged against an endpoint, under the kernel."""

from __future__ import annotations

from aios_evals.endpoint import Prompt, ToolCall
from tests.support.examples import run_example

STEPS = [
    ToolCall("execute", {"language": "shell", "code": "echo $(( (1000 - 1) / 7 ))"}),
    ToolCall("execute", {"language": "shell", "code": "seq 7 7 999 | wc -l"}),
    "142 numbers, by both ways.",
]


def script(prompt: Prompt):
    """The next step after the runs that were told of."""
    return STEPS[sum(message.get("role") == "tool" for message in prompt.messages)]


def test_example(tmp_path):
    """It prints its code, what that gave, and the answer, after three calls to the model and two runs."""
    ran = run_example("open_interpreter_task.py", script, tmp_path)
    assert [line for line in ran.lines if line.startswith("console")] == ["console: 142", "console: 142"]
    assert ran.lines[-1] == "message: 142 numbers, by both ways."
    assert ran.requests == 3
    assert "interpreter" in ran.trace
    assert "execute" in ran.trace
