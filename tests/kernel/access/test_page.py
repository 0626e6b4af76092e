"""The example on the page about access runs as it stands."""

from __future__ import annotations

import re
from pathlib import Path

DOCS = Path(__file__).parents[3] / "docs"


def test_the_example_runs(capsys, tmp_path, monkeypatch):
    """A reader who copies it, with its policy, gets what it says."""
    text = (DOCS / "access.md").read_text(encoding="utf-8")
    policy, code = (re.search(rf"```{kind}\n(.*?)```", text, re.DOTALL) for kind in ("toml", "python"))
    said = re.search(r"prints\n\n```\n(.*?)```", text, re.DOTALL)
    assert policy is not None and code is not None and said is not None
    monkeypatch.chdir(tmp_path)
    (tmp_path / "aios-access.toml").write_text(policy[1], encoding="utf-8")
    exec(compile(code[1], "access.md", "exec"), {})
    assert capsys.readouterr().out == said[1]
