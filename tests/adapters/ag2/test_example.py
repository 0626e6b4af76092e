"""The example runs unchanged against an endpoint, under the kernel."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from aios_evals.endpoint import Endpoint, Prompt, ToolCall

EXAMPLE = Path(__file__).parents[3] / "examples" / "ag2_team.py"
STEPS = [
    ToolCall("price", {"item": "pear"}),
    ToolCall("total", {"price": 4, "count": 5}),
    ToolCall("task_writer", {"objective": "offer 5 pears for 20"}),
    "Five pears for 20.",
]


def script(prompt: Prompt):
    """The clerk's three tools and its answer; the writer's offer between them."""
    if not prompt.tools:
        return "5 pears: 20"
    asked = [call for message in prompt.messages for call in message.get("tool_calls") or ()]
    return STEPS[len(asked)]


def test_example(tmp_path):
    """It prints its calls of tools and the answer, after five calls to the model."""
    with Endpoint(reply=script) as endpoint:
        settings = {"OPENAI_BASE_URL": endpoint.base_url, "OPENAI_API_KEY": "test", "OPENAI_MODEL": "some-model"}
        done = subprocess.run(
            [sys.executable, str(EXAMPLE)],
            env={**os.environ, **settings, "AIOS_TRACE": str(tmp_path / "trace.json")},
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )
        assert done.returncode == 0, done.stderr
        printed = done.stdout.splitlines()
        assert [line.partition("(")[0] for line in printed] == ["price", "total", "task_writer", "Five pears for 20."]
        assert len(endpoint.requests) == 5
    trace = (tmp_path / "trace.json").read_text()
    assert "clerk" in trace
    assert "writer" in trace
