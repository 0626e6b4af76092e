"""The page about storage says what happens."""

from __future__ import annotations

import re
from pathlib import Path

from aios_kernel.storage.verbs import VERBS

PAGE = (Path(__file__).parents[3] / "docs" / "storage.md").read_text(encoding="utf-8")


def test_the_example_runs(capsys, monkeypatch, tmp_path):
    """The first example prints what the page says it does."""
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    code = re.search(r"```python\n(.*?)```\n\n```text\n(.*?)```", PAGE, re.DOTALL)
    assert code is not None
    exec(compile(code[1], "storage.md", "exec"), {})
    assert capsys.readouterr().out == code[2]


def test_every_verb_is_described():
    """The table has each verb and each of its arguments."""
    table = "\n".join(line for line in PAGE.splitlines() if line.startswith("| `"))
    for verb, (_, arguments) in VERBS.items():
        rows = [line for line in table.splitlines() if f"`{verb}`" in line.split("|")[1]]
        assert rows, verb
        for name in arguments:
            assert name == "root" or any(name in row for row in rows), (verb, name)
