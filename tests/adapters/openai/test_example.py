"""The example runs unchanged against an endpoint, under the kernel."""

from __future__ import annotations

from aios_evals.endpoint import Prompt
from tests.support.examples import run_example

STEPS = [
    'Thought: I need the price.\nAction: price\nAction Input: {"item": "pear"}',
    'Thought: now the total.\nAction: total\nAction Input: {"price": 4, "count": 5}',
    "Thought: I know.\nFinal Answer: 20",
]


def script(prompt: Prompt):
    """The next step after the observations that were told."""
    return STEPS[sum(str(message["content"]).startswith("Observation") for message in prompt.messages)]


def test_example(tmp_path):
    """It prints thoughts and observations, after three calls to the model; each is a syscall."""
    ran = run_example("openai_react.py", script, tmp_path)
    observations = [line for line in ran.lines if line.startswith("Observation")]
    assert observations == ["Observation: 4", "Observation: 20"]
    assert ran.lines[-1] == "Final Answer: 20"
    assert ran.requests == 3
    assert "chat some-model" in ran.trace
