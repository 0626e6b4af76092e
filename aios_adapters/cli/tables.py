"""Tables for people: with rich where it is installed and the output is a terminal, aligned text everywhere else."""

from __future__ import annotations

import sys
from collections.abc import Collection, Sequence
from typing import Any, TextIO

__all__ = ["plain_table", "rich_console", "show_table"]


def rich_console(file: TextIO | None = None) -> Any:
    """A rich console on a terminal; None where rich is missing or nobody watches."""
    stream = file or sys.stdout
    if not stream.isatty():
        return None
    try:
        from rich.console import Console
    except ImportError:
        return None
    return Console(file=stream, highlight=False)


def show_table(
    columns: Sequence[str], rows: Sequence[Sequence[str]], *, right: Collection[str] = (), total: bool = False
) -> None:
    """Print a table on stdout; `right` names the columns of numbers, `total` sets the last row apart."""
    console = rich_console()
    if console is None:
        print(plain_table(columns, rows, right=right, total=total))
    else:
        console.print(_rich(columns, rows, right, total=total))


def plain_table(
    columns: Sequence[str], rows: Sequence[Sequence[str]], *, right: Collection[str] = (), total: bool = False
) -> str:
    """Write a table as aligned text."""
    widths = [max(len(row[number]) for row in [columns, *rows]) for number in range(len(columns))]

    def line(cells: Sequence[str]) -> str:
        pairs = zip(columns, cells, widths, strict=True)
        return "  ".join(c.rjust(w) if name in right else c.ljust(w) for name, c, w in pairs).rstrip()

    rule = "  ".join("-" * width for width in widths)
    lines = [line(columns), rule, *(line(row) for row in rows)]
    if total and len(rows) > 1:
        lines.insert(-1, rule)
    return "\n".join(lines)


def _rich(columns: Sequence[str], rows: Sequence[Sequence[str]], right: Collection[str], *, total: bool) -> Any:
    from rich import box
    from rich.table import Table
    from rich.text import Text

    table = Table(box=box.SIMPLE_HEAD, header_style="bold", pad_edge=False)
    for name in columns:
        table.add_column(name, justify="right" if name in right else "left", overflow="fold")
    for number, row in enumerate(rows):
        if total and number == len(rows) - 1 and number:
            table.add_section()
        table.add_row(*(Text(cell, style=_style(cell)) for cell in row))
    return table


def _style(cell: str) -> str:
    if cell in {"ok", "active", "ready"}:
        return "green"
    return "red" if cell in {"failed", "wrong", "interrupted"} else ""
