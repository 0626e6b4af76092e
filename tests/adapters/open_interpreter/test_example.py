"""The example runs unchanged against an endpoint, under the kernel."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from aios_evals.endpoint import Endpoint, Prompt, ToolCall

EXAMPLE = Path(__file__).parents[3] / "examples" / "open_interpreter_task.py"
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
    with Endpoint(reply=script) as endpoint:
        settings = {"OPENAI_BASE_URL": endpoint.base_url, "OPENAI_API_KEY": "test", "OPENAI_MODEL": "some-model"}
        done = subprocess.run(
            [sys.executable, str(EXAMPLE)],
            env={**os.environ, **settings, "AIOS_TRACE": str(tmp_path / "trace.json")},
            capture_output=True,
            text=True,
            check=False,
            timeout=200,
        )
        assert done.returncode == 0, done.stderr
        printed = done.stdout.splitlines()
        assert [line for line in printed if line.startswith("console")] == ["console: 142", "console: 142"]
        assert printed[-1] == "message: 142 numbers, by both ways."
        assert len(endpoint.requests) == 3
    trace = (tmp_path / "trace.json").read_text()
    assert "interpreter" in trace
    assert "execute" in trace
