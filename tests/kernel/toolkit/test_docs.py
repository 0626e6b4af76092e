"""The example in the documentation runs as it stands, and prints what the page says."""

from __future__ import annotations

import re
from pathlib import Path

PAGE = Path(__file__).parents[3] / "docs" / "tools.md"


def test_the_page_s_example_runs(capsys):
    """A reader who copies the page's first example gets the output below it."""
    text = PAGE.read_text(encoding="utf-8")
    code = re.search(r"```python\n(.*?)```", text, re.DOTALL)
    output = re.search(r"```text\n(.*?)```", text, re.DOTALL)
    assert code is not None
    assert output is not None
    names = {}
    exec(compile(code[1], "tools.md", "exec"), names)
    names["kernel"].close()
    assert capsys.readouterr().out == output[1]
