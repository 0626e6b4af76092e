"""The example runs unchanged against an endpoint, under the kernel."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from aios_evals.endpoint import Endpoint, Prompt, ToolCall

EXAMPLE = Path(__file__).parents[3] / "examples" / "autogen_classic_chat.py"


def script(prompt: Prompt):
    """The planner's two functions and its answer, then the reviewer's sentence."""
    if not prompt.tools:
        return "It adds up."
    asked = [call["function"]["name"] for m in prompt.messages for call in m.get("tool_calls") or ()]
    steps = [ToolCall("price", {"item": "pear"}), ToolCall("total", {"price": 4, "count": 5}), "20 in all. TERMINATE"]
    return steps[len(asked)]


def test_example(tmp_path):
    """It prints what its functions returned, the answer and the review, after four calls to the model."""
    with Endpoint(reply=script) as endpoint:
        settings = {"OPENAI_BASE_URL": endpoint.base_url, "OPENAI_API_KEY": "test", "OPENAI_MODEL": "some-model"}
        done = subprocess.run(
            [sys.executable, str(EXAMPLE)],
            env={**os.environ, **settings, "AIOS_TRACE": str(tmp_path / "trace.json")},
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )
        assert done.returncode == 0, done.stderr
        shown = [line for line in done.stdout.splitlines() if line in SHOWN]
        assert shown == SHOWN, done.stdout
        assert len(endpoint.requests) == 4
    trace = (tmp_path / "trace.json").read_text()
    assert all(name in trace for name in ("planner", "reviewer", "runner"))


SHOWN = ["a function returned 4", "a function returned 20", "20 in all.", "It adds up."]
