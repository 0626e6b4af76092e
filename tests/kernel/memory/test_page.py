"""The page on memory: its example runs as it stands."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

PAGE = Path(__file__).parents[3] / "docs" / "memory.md"


def test_the_example_prints_what_the_page_says(capsys: pytest.CaptureFixture[str]):
    """A reader who copies the page's example gets what it says."""
    page = PAGE.read_text(encoding="utf-8")
    code = re.search(r"```python\n(.*?)```", page, re.DOTALL)
    said = re.search(r"^prints `(.*)`\.$", page, re.MULTILINE)
    assert code is not None
    assert said is not None
    exec(compile(code[1], "memory.md", "exec"), {})
    assert capsys.readouterr().out == said[1] + "\n"
