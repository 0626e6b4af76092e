"""The example runs unchanged against an endpoint, under the kernel."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from aios_evals.endpoint import Endpoint, Prompt

EXAMPLE = Path(__file__).parents[3] / "examples" / "openai_react.py"
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
        assert [line for line in done.stdout.splitlines() if line.startswith("Observation")] == [
            "Observation: 4",
            "Observation: 20",
        ]
        assert done.stdout.splitlines()[-1] == "Final Answer: 20"
        assert len(endpoint.requests) == 3
    assert "chat some-model" in (tmp_path / "trace.json").read_text()
