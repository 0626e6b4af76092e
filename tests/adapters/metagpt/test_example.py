"""The example runs as a user runs it, against an endpoint of the tests' own."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from aios_evals.endpoint import Endpoint

EXAMPLE = Path(__file__).parents[3] / "examples" / "metagpt_team.py"


def script(prompt):
    """Write the code, then judge it by its outcome."""
    if "Write Python code" in prompt.text:
        return "```python\nresult = sum(range(1, 11))\n```"
    return "YES, it is 55." if "result: 55" in prompt.text else "NO."


def test_example(tmp_path):
    """The team writes, runs and reviews: three roles, two calls to the model, and one run of code."""
    with Endpoint(reply=script) as endpoint:
        variables = {
            **os.environ,
            "OPENAI_BASE_URL": endpoint.base_url,
            "OPENAI_API_KEY": "test",
            "OPENAI_MODEL": "gpt-4o",
            "AIOS_TRACE": str(tmp_path / "trace.json"),
        }
        done = subprocess.run(
            [sys.executable, str(EXAMPLE)],
            cwd=tmp_path,
            env=variables,
            capture_output=True,
            text=True,
            check=False,
        )
        asked = len(endpoint.requests)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "the review: YES, it is 55."
    assert asked == 2
    trace = (tmp_path / "trace.json").read_text()
    assert all(name in trace for name in ("Alice", "Bob", "Carol", "RunCode"))
