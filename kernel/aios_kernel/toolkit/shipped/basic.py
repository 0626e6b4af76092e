"""The calculator."""

from __future__ import annotations

from aios_kernel.toolkit.tool import Tool
from aios_kernel.tools import MAX_EXPRESSION, evaluate

__all__ = ["calculator"]


def calculator() -> Tool:
    """Make `aios/calculator`."""
    expression = {"type": "string", "description": "such as (3 + 4) * 2 ** 5", "maxLength": MAX_EXPRESSION}
    return Tool(
        name="aios/calculator",
        description="Evaluate an arithmetic expression: numbers, brackets and + - * / // % **.",
        parameters={
            "type": "object",
            "properties": {"expression": expression},
            "required": ["expression"],
            "additionalProperties": False,
        },
        run=_calculate,
        origin="shipped",
        idempotent=True,
        timeout=10,
    )


def _calculate(expression: str) -> str:
    return evaluate(expression)
