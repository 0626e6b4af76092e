"""The examples in the documentation run as they stand."""

from __future__ import annotations

import re
from pathlib import Path

DOCS = Path(__file__).parents[2] / "docs"


def test_the_kernel_page_s_example_runs(capsys):
    """A reader who copies the page's example gets what it says."""
    code = re.search(r"```python\n(.*?)```", (DOCS / "kernel.md").read_text(encoding="utf-8"), re.DOTALL)
    assert code is not None
    exec(compile(code[1], "kernel.md", "exec"), {})
    assert capsys.readouterr().out == "four\nTrue\n"
