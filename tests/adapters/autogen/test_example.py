"""The example runs unchanged against an endpoint, under the kernel."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from aios_evals.endpoint import Endpoint, Prompt, ToolCall

EXAMPLE = Path(__file__).parents[3] / "examples" / "autogen_team.py"


def script(prompt: Prompt):
    """The clerk's two tools and its answer, then the offer."""
    if not prompt.tools:
        return "Five pears for 20."
    steps = [ToolCall("price", {"item": "pear"}), ToolCall("total", {"price": 4, "count": 5}), "20 in all."]
    return steps[sum(message["role"] == "tool" for message in prompt.messages)]


def test_example(tmp_path):
    """It prints its tools' results and the offer, after four calls to the model."""
    with Endpoint(reply=script) as endpoint:
        settings = {
            "OPENAI_BASE_URL": endpoint.base_url,
            "OPENAI_API_KEY": "test",
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
        assert done.stdout.splitlines()[1:] == [
            "price: 4",
            "total: 20",
            "clerk: 20 in all.",
            "writer: Five pears for 20.",
        ]
        assert len(endpoint.requests) == 4
    trace = (tmp_path / "trace.json").read_text()
    assert "clerk" in trace
    assert "writer" in trace
