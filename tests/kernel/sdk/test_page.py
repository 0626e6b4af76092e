"""The page about the SDK says what happens, and its example of an agent runs."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

from aios_kernel import sdk

ROOT = Path(__file__).parents[3]
PAGE = (ROOT / "docs" / "sdk.md").read_text(encoding="utf-8")


def test_the_example_runs(capsys, monkeypatch, tmp_path):
    """The first example prints what the page says it does."""
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    code = re.search(r"```python\n(.*?)```\n\n```text\n(.*?)```", PAGE, re.DOTALL)
    assert code is not None
    exec(compile(code[1], "sdk.md", "exec"), {})
    assert capsys.readouterr().out == code[2]


def test_every_function_is_described():
    """The table has each of them."""
    for name in set(sdk.__all__) - {"Answer", "Client", "Use"}:
        assert f"| `{name}(" in PAGE or f", `{name}(" in PAGE, name


def test_the_native_agent_runs(tmp_path):
    """It answers by a tool, and finds what it kept; a second time, too."""
    variables = {key: value for key, value in os.environ.items() if not key.startswith("AIOS_")}
    variables |= {"PYTHONPATH": os.pathsep.join(path for path in sys.path if path), "AIOS_DATA": str(tmp_path / "data")}
    for _ in range(2):
        command = [sys.executable, str(ROOT / "examples" / "native_agent.py"), "scripted"]
        done = subprocess.run(
            command, env=variables, cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False
        )
        assert done.returncode == 0, done.stderr
        assert "aios/calculator" in done.stdout
        assert "-> 42" in done.stdout
        assert "kept as a file: It is 42." in done.stdout
