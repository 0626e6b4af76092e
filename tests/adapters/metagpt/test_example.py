"""The example runs as a user runs it, against an endpoint of the tests' own."""

from __future__ import annotations

from tests.support.examples import run_example


def script(prompt):
    """Write the code, then judge it by its outcome."""
    if "Write Python code" in prompt.text:
        return "```python\nresult = sum(range(1, 11))\n```"
    return "YES, it is 55." if "result: 55" in prompt.text else "NO."


def test_example(tmp_path):
    """The team writes, runs and reviews: three roles, two calls to the model, and one run of code."""
    ran = run_example("metagpt_team.py", script, tmp_path, OPENAI_MODEL="gpt-4o")
    assert ran.lines[-1] == "the review: YES, it is 55."
    assert ran.requests == 2
    assert all(name in ran.trace for name in ("Alice", "Bob", "Carol", "RunCode"))
