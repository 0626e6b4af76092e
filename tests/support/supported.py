"""The table of supported versions in docs/frameworks.md, from the version table: `python -m tests.support.supported`."""

from __future__ import annotations

from pathlib import Path

from aios_adapters.versions import TABLE, Framework

__all__ = ["PAGE", "updated"]

PAGE = Path(__file__).resolve().parents[2] / "docs" / "frameworks.md"
BEGIN, END = "<!-- supported versions: written by `make docs` -->", "<!-- end of supported versions -->"


def table() -> str:
    """One line per framework, and the recipes of those that plain pip does not install."""
    lines = ["| framework | adapter | package | tested with | from | installs with |", "|---|---|---|---|---|---|"]
    lines += [_line(row) for row in TABLE]
    notes = [f"- **{row.title}**: {row.remedy}." for row in TABLE if row.remedy]
    return "\n".join([*lines, *(["", *notes] if notes else [])])


def _line(row: Framework) -> str:
    packages = ", ".join(f"`{name}`" for name in row.distributions)
    versions = ", ".join(one.version for one in row.versions)
    install = f"`{row.install}`" if row.install else "pip"
    python = f" (Python {row.python})" if row.python else ""
    return f"| {row.title} | `{row.adapter}` | {packages} | {versions} | {row.minimum} | {install}{python} |"


def updated(page: str) -> str:
    """Return a page with the present table between its markers."""
    before, _, rest = page.partition(BEGIN)
    _, _, after = rest.partition(END)
    return f"{before}{BEGIN}\n\n{table()}\n\n{END}{after}"


if __name__ == "__main__":
    PAGE.write_text(updated(PAGE.read_text()))
