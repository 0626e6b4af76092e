"""The example runs unchanged against an endpoint, under the kernel."""

from __future__ import annotations

from aios_evals.endpoint import Prompt
from tests.support.examples import run_example

LAST = "Write a Python function last(items) that returns the last item of a list, or None when it is empty."


def script(prompt: Prompt):
    """One task is solved at once, the other after a reflection."""
    if "tests" in prompt.messages[0]["content"]:
        return "The empty list was forgotten."
    if "double" in prompt.text:
        return "```python\ndef double(x):\n    return 2 * x\n```"
    return f"def last(items): return {'items[-1] if items else None' if 'forgotten' in prompt.text else 'items[-1]'}"


def test_example(tmp_path):
    """It solves one task at once and the other by what its tests told it: four calls to the model, of two agents."""
    ran = run_example("reflexion.py", script, tmp_path, AIOS_LLM="openai:{endpoint}")
    assert [line.partition(":")[0] for line in ran.lines] == [
        "passed",
        "Write a Python function double(x) that returns x times two. solved in 1 trials",
        "failed",
        "  learnt",
        "passed",
        f"{LAST} solved in 2 trials",
    ]
    assert ran.requests == 4
    assert "programmer-1" in ran.trace
    assert "programmer-2" in ran.trace
