"""The example runs unchanged against an endpoint, under the kernel."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from aios_evals.endpoint import Endpoint, Prompt, ToolCall

EXAMPLE = Path(__file__).parents[3] / "examples" / "litellm_agent.py"
STEPS = [
    ToolCall("stock", {"item": "pear"}),
    ToolCall("order", {"item": "pear", "count": 7}),
    "There are 10 pears now.",
]


def script(prompt: Prompt):
    """The next step after the tools that were called."""
    return STEPS[sum(message.get("role") == "tool" for message in prompt.messages)]


def test_example(tmp_path):
    """It prints what its tools did and the answer, after three calls to the model; each is a syscall."""
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
        assert done.stdout.splitlines() == ["stock: 3 left", "order: ordered 7, now 10", "There are 10 pears now."]
        assert len(endpoint.requests) == 3
    assert "chat some-model" in (tmp_path / "trace.json").read_text()
