"""Describe a Python function as a tool, in the form of the OpenAI API."""

from __future__ import annotations

import inspect
import types
import typing
from collections.abc import Callable
from typing import Any

__all__ = ["tool_spec"]

_TYPES: dict[Any, str] = {
    str: "string",
    int: "integer",
    float: "number",
    bool: "boolean",
    list: "array",
    dict: "object",
}


def tool_spec(function: Callable[..., Any]) -> dict[str, Any]:
    """Return name, first line of the docstring and JSON schema of the parameters."""
    hints = typing.get_type_hints(function)
    properties: dict[str, Any] = {}
    required: list[str] = []
    for name, parameter in inspect.signature(function).parameters.items():
        if parameter.kind in {parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD}:
            continue
        properties[name] = _schema(hints.get(name, Any))
        if parameter.default is parameter.empty:
            required.append(name)
    schema = {"type": "object", "properties": properties, "required": required}
    described = (inspect.getdoc(function) or "").partition("\n")[0]
    return {
        "type": "function",
        "function": {"name": function.__name__, "description": described, "parameters": schema},
    }


def _schema(hint: Any) -> dict[str, Any]:
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin is typing.Literal:
        return {"enum": list(arguments)}
    if origin in {typing.Union, types.UnionType}:
        kinds = [_schema(one) for one in arguments if one is not type(None)]
        return kinds[0] if len(kinds) == 1 else {"anyOf": kinds}
    kind = _TYPES.get(origin or hint)
    if kind == "array" and arguments:
        return {"type": "array", "items": _schema(arguments[0])}
    return {"type": kind} if kind else {}
