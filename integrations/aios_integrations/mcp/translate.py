"""MCP's tools and results on one side, the kernel's on the other."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any, cast

from aios_kernel.errors import ToolFailed
from aios_kernel.toolkit import Tool

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

__all__ = ["content_of", "listed", "result_of", "tools_of", "wire_names"]

MAX_NAME = 64


def tools_of(
    org: str, listed: Iterable[Any], call: Callable[[str, dict[str, Any]], Any], settings: Mapping[str, Any]
) -> list[Tool]:
    """The kernel's tools for those that a server lists; a name the registry has no form for gets one."""
    taken: set[str] = set()
    made: list[Tool] = []
    for tool in listed:
        name = re.sub(r"[^A-Za-z0-9_.-]", "_", tool.name).lstrip(".-")[:MAX_NAME] or "tool"
        while name in taken:
            name = f"{name[: MAX_NAME - 1]}_"
        taken.add(name)
        made.append(_tool(f"{org}/{name}", tool, call, settings))
    return made


def _tool(name: str, tool: Any, call: Callable[[str, dict[str, Any]], Any], settings: Mapping[str, Any]) -> Tool:
    hints, theirs = tool.annotations, tool.name
    read_only = bool(hints and hints.read_only_hint)
    # The protocol's own defaults: a tool that says nothing may destroy.
    destructive = not read_only and not (hints is not None and hints.destructive_hint is False)

    def run(**arguments: Any) -> Any:
        return call(theirs, arguments)

    given = settings.get("destructive")
    return Tool(
        name=name,
        run=run,
        description=tool.description or tool.title or "",
        parameters=dict(tool.input_schema),
        origin="mcp",
        limit=settings.get("limit"),
        timeout=settings.get("timeout"),
        idempotent=read_only or bool(hints and hints.idempotent_hint),
        destructive=destructive if given is None else bool(given),
    )


def result_of(name: str, result: Any) -> Any:
    """What a server answered, as plain data; raises `ToolFailed` for what it calls an error."""
    texts = [block.text for block in result.content if block.type == "text"]
    if result.is_error:
        raise ToolFailed(f"{name} failed: {' '.join(texts) or 'the server does not say why'}")
    if result.structured_content is not None:
        return _unwrapped(result.structured_content)
    if len(texts) == len(result.content):
        return "\n".join(texts)
    return [block.model_dump(mode="json", by_alias=True, exclude_none=True) for block in result.content]


def _unwrapped(content: Any) -> Any:
    """Servers wrap a result that is no object into one, as its only field."""
    return content["result"] if isinstance(content, dict) and set(content) == {"result"} else content  # pyright: ignore[reportUnknownArgumentType,reportUnknownVariableType]


def wire_names(names: Iterable[str]) -> dict[str, str]:
    """Names that every client takes (letters, digits, "_" and "-"), each with the tool it stands for."""
    found: dict[str, str] = {}
    for name in names:
        wire = re.sub(r"[^A-Za-z0-9_-]", "_", name)[:MAX_NAME]
        while wire in found:
            wire = f"{wire[: MAX_NAME - 1]}_"
        found[wire] = name
    return found


def listed(wire: str, row: Mapping[str, Any]) -> Any:
    """One of the kernel's tools as MCP lists it."""
    from mcp.types import Tool as Listed
    from mcp.types import ToolAnnotations

    idempotent = bool(row.get("idempotent"))
    hints = ToolAnnotations(destructive_hint=bool(row.get("destructive")), idempotent_hint=idempotent)
    return Listed(
        name=wire, title=row["name"], description=row["description"], input_schema=row["parameters"], annotations=hints
    )


def content_of(data: Any) -> Any:
    """A result of the kernel's as MCP's content."""
    from mcp.types import CallToolResult, TextContent

    text = data if isinstance(data, str) else json.dumps(data, ensure_ascii=False)
    structured: Any = cast("dict[str, Any]", data) if isinstance(data, dict) else {"result": data}
    return CallToolResult(content=[TextContent(type="text", text=text)], structured_content=structured)
