"""The two tools that every tool manager has: reading stored results, and listing the tools."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from aios_kernel.toolkit.running import running
from aios_kernel.toolkit.tool import Tool

if TYPE_CHECKING:
    from collections.abc import Callable

    from aios_kernel.toolkit.results import ResultStore

__all__ = ["UNBOUNDED", "own_tools"]

MAX_READ = 16_000
READ, LIST = "aios/read_result", "aios/list_tools"
#: Tools whose results are never stored: one is bounded by itself, the other is asked for by programs.
UNBOUNDED = frozenset({READ, LIST})


def own_tools(results: ResultStore, rows: Callable[[], list[dict[str, Any]]]) -> list[Tool]:
    """Make `aios/read_result` and `aios/list_tools` for a manager."""

    def read_result(reference: str, offset: float = 0, length: float = 8000) -> dict[str, Any]:
        text, start = results.get(running().agent, reference), int(offset)
        piece = text[start : start + int(length)]
        return {"text": piece, "offset": start, "characters": len(text), "more": start + len(piece) < len(text)}

    reference = {"type": "string", "description": "the reference that came in place of the result"}
    offset = {"type": "integer", "minimum": 0, "description": "the first character to read"}
    length = {"type": "integer", "minimum": 1, "maximum": MAX_READ, "description": "how many characters to read"}
    properties = {"reference": reference, "offset": offset, "length": length}
    return [
        _tool(READ, "Read a piece of a result that was too large to show.", properties, ["reference"], read_result),
        _tool(LIST, "List the tools there are, with their arguments and what they lack.", {}, [], rows),
    ]


def _tool(
    name: str, description: str, properties: dict[str, Any], required: list[str], run: Callable[..., Any]
) -> Tool:
    schema = {"type": "object", "properties": properties, "required": required, "additionalProperties": False}
    return Tool(name=name, description=description, parameters=schema, run=run, origin="shipped", idempotent=True)
