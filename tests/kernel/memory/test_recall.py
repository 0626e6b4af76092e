"""What is found is measured on one labelled set; `python -m tests.recall` prints the table."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from aios_kernel import models
from aios_kernel.embedding import LexicalEmbedder
from tests.recall import as_markdown, measure, recall

DOCS = Path(__file__).parents[3] / "docs" / "memory.md"


def test_without_a_model(tmp_path: Path):
    """The notes' own words, inflections and misspellings are found; paraphrases are not, and the table says so."""
    text, vector, hybrid = (recall(tmp_path, LexicalEmbedder(), mode) for mode in ("text", "vector", "hybrid"))
    for row in (text, vector, hybrid):
        assert row["words"] >= 0.95
        assert row["inflected"] >= 0.85
        assert row["all"] >= 0.5
    assert hybrid["misspelt"] >= 0.95 > text["misspelt"]
    assert hybrid["all"] >= max(text["all"], vector["all"]) - 0.05


def test_with_a_model_that_knows_meaning(tmp_path: Path):
    """MiniLM finds what shares no word with the query, and fusing it with full text costs little of that."""
    if not models.installed("all-minilm-l6-v2"):
        pytest.skip("the model is not in the cache: aios models pull all-minilm-l6-v2")
    pytest.importorskip("torch", reason="torch is not installed")
    table = measure(tmp_path)
    assert table["MiniLM"]["paraphrase"] >= 0.9
    assert table["full text + MiniLM"]["all"] >= 0.9
    assert table["full text + MiniLM"]["paraphrase"] > table["full text + lexical"]["paraphrase"] + 0.3
    # The page shows this table; rounding may differ by a hair between machines.
    shown = [float(number) for number in re.findall(r"\d\.\d\d", _table(DOCS.read_text(encoding="utf-8")))]
    found = [float(number) for number in re.findall(r"\d\.\d\d", as_markdown(table))]
    assert shown == pytest.approx(found, abs=0.03)


def _table(page: str) -> str:
    start = page.index("| search |")
    return page[start : page.index("\n\n", start)]
