"""The example runs unchanged against an endpoint, under the kernel."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from aios_evals.endpoint import Endpoint, Prompt

LAST = "Write a Python function last(items) that returns the last item of a list, or None when it is empty."
EXAMPLE = Path(__file__).parents[3] / "examples" / "reflexion.py"


def script(prompt: Prompt):
    """One task is solved at once, the other after a reflection."""
    if "tests" in prompt.messages[0]["content"]:
        return "The empty list was forgotten."
    if "double" in prompt.text:
        return "```python\ndef double(x):\n    return 2 * x\n```"
    return f"def last(items): return {'items[-1] if items else None' if 'forgotten' in prompt.text else 'items[-1]'}"


def test_example(tmp_path):
    """It solves one task at once and the other by what its tests told it: four calls to the model, of two agents."""
    with Endpoint(reply=script) as endpoint:
        settings = {
            "AIOS_LLM": f"openai:{endpoint.base_url}",
            "OPENAI_MODEL": "some-model",
            "AIOS_TRACE": str(tmp_path / "trace.json"),
        }
        done = subprocess.run(
            [sys.executable, str(EXAMPLE)],
            env={**os.environ, **settings},
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )
        assert done.returncode == 0, done.stderr
        assert [line.partition(":")[0] for line in done.stdout.splitlines()] == [
            "passed",
            "Write a Python function double(x) that returns x times two. solved in 1 trials",
            "failed",
            "  learnt",
            "passed",
            f"{LAST} solved in 2 trials",
        ]
        assert len(endpoint.requests) == 4
    trace = (tmp_path / "trace.json").read_text()
    assert "programmer-1" in trace
    assert "programmer-2" in trace
