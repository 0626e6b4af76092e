"""Files and memory: the calling agent's own, through the storage and the memory manager of the same kernel."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from aios_kernel.abi import MemoryCall, StorageCall
from aios_kernel.errors import ToolUnavailable
from aios_kernel.toolkit.running import running
from aios_kernel.toolkit.tool import Tool

if TYPE_CHECKING:
    from collections.abc import Callable

    from aios_kernel.abi import Call

__all__ = ["file_tools", "memory_tools"]

_TEXT = {"type": "string"}
_PATH = {"type": "string", "minLength": 1, "description": "relative to the agent's own folder"}
_COUNT = {"type": "integer", "minimum": 1, "maximum": 50}


def file_tools() -> list[Tool]:
    """Make the four tools on files."""
    return [
        _tool("read_file", "Read the text of a file.", {"path": _PATH}, ["path"], _storage("read", "content")),
        _tool(
            "write_file",
            "Write text to a file; what was there before stays as an older version.",
            {"path": _PATH, "content": _TEXT},
            ["path", "content"],
            _storage("write"),
        ),
        _tool("list_files", "List the files there are.", {"path": _PATH}, [], _storage("list", "entries")),
        _tool("delete_file", "Delete a file.", {"path": _PATH}, ["path"], _storage("delete"), destructive=True),
    ]


def memory_tools() -> list[Tool]:
    """Make the three tools on memory."""
    return [
        _tool("remember", "Keep a note in memory.", {"text": _TEXT}, ["text"], _memory("add", "note")),
        _tool(
            "recall",
            "Find notes in memory by what they say.",
            {"query": _TEXT, "k": _COUNT},
            ["query"],
            _memory("retrieve", "notes"),
        ),
        _tool("forget", "Remove a note from memory.", {"id": _TEXT}, ["id"], _memory("remove"), destructive=True),
    ]


def _tool(
    name: str, description: str, properties: dict[str, Any], required: list[str], run: Any, *, destructive: bool = False
) -> Tool:
    schema = {"type": "object", "properties": properties, "required": required, "additionalProperties": False}
    return Tool(
        name=f"aios/{name}",
        description=description,
        parameters=schema,
        run=run,
        origin="shipped",
        destructive=destructive,
    )


def _storage(verb: str, part: str = "") -> Callable[..., Any]:
    """A storage call, of whose answer the tool's result may be a part."""

    def ask(**arguments: Any) -> Any:
        answer = _asked(StorageCall(verb=verb, arguments=arguments), "storage")
        return answer[part] if part else answer

    return ask


def _memory(verb: Any, part: str = "") -> Callable[..., Any]:
    def ask(**arguments: Any) -> Any:
        answer = _asked(MemoryCall(verb=verb, arguments=arguments), "memory")
        return answer[part] if part else answer

    return ask


def _asked(call: Call, what: str) -> Any:
    """Make a call of the tool's own through the gate: access, order and record are those of any other."""
    with running().gate.syscall(call) as grant:
        if grant.lease:
            raise ToolUnavailable(f"this kernel has no {what} manager: Kernel(managers=[...]) takes one")
        return grant.reply().data
