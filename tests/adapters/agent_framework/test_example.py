"""The example runs unchanged against an endpoint, under the kernel."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from aios_evals.endpoint import Endpoint, Prompt, ToolCall

EXAMPLE = Path(__file__).parents[3] / "examples" / "agent_framework_tools.py"


def script(prompt: Prompt):
    """The price, the total, an offer that the writer words."""
    names = [tool["function"]["name"] for tool in prompt.tools]
    asked = [call["function"]["name"] for m in prompt.messages for call in m.get("tool_calls") or ()]
    if "price" not in names:
        return "Five pears for 20."
    steps = [
        ToolCall("price", {"item": "pear"}),
        ToolCall("total", {"price": 4, "count": 5}),
        ToolCall("writer", {"task": "5 pears, 20"}),
        "Here is the offer: Five pears for 20.",
    ]
    return steps[len(asked)]


def test_example(tmp_path):
    """It prints its tools' results and the offer, after five calls to the model."""
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
        assert done.stdout.splitlines()[-1] == "Here is the offer: Five pears for 20."
        assert "20" in done.stdout.splitlines()
        assert len(endpoint.requests) == 5
    trace = (tmp_path / "trace.json").read_text()
    assert "clerk" in trace
    assert "writer" in trace
