"""LlamaIndex's messages and tools on one side, the shape of chat completions on the other."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterable, Mapping
from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from aios_kernel.abi import ToolRequest

__all__ = ["assistant", "openai_message", "openai_tool", "tool_choice"]

Json = dict[str, Any]
_ROLES = {"chatbot": "assistant", "model": "assistant", "function": "tool"}


def openai_message(message: Any) -> Json:
    """Translate a ChatMessage."""
    role, given = str(getattr(message.role, "value", message.role)), message.additional_kwargs
    calls = [_asked(block) for block in message.blocks if block.block_type == "tool_call"]
    calls = calls or [_plain(call) for call in given.get("tool_calls") or ()]
    shown: Json = {"role": _ROLES.get(role, role), "content": _content(message)}
    if calls:
        shown["tool_calls"] = calls
    if given.get("tool_call_id"):
        shown["tool_call_id"] = given["tool_call_id"]
    return shown


def openai_tool(tool: Any) -> Any:
    """Translate a tool that is a tool of LlamaIndex, or in the shape of its provider."""
    if hasattr(tool, "metadata"):
        return tool.metadata.to_openai_tool(skip_length_check=True)
    if not hasattr(tool, "keys"):
        return {"type": "function", "function": {"name": str(tool)}}
    known: Mapping[str, Any] = tool
    if "function" in known or "name" not in known:
        return known
    schema: Any = known.get("parameters") or known.get("input_schema") or {}
    function = {"name": known["name"], "description": known.get("description") or "", "parameters": schema}
    return {"type": "function", "function": function}


def tool_choice(choice: Any) -> Any:
    """Translate what providers call the choice of a tool."""
    if not hasattr(choice, "keys"):
        return {"any": "required"}.get(choice, choice) if isinstance(choice, str) else None
    known: Mapping[str, Any] = choice
    if known.get("type") in {"auto", "none", "any"}:
        return {"any": "required"}.get(known["type"], known["type"])
    if "function" not in known and "name" in known:
        return {"type": "function", "function": {"name": known["name"]}}
    return known


def assistant(text: str, calls: Iterable[ToolRequest]) -> Any:
    """Return the model's ChatMessage. Versions without a block for tool calls keep them beside the content."""
    types = import_module("llama_index.core.base.llms.types")
    asked, role = list(calls), types.MessageRole.ASSISTANT
    block = getattr(types, "ToolCallBlock", None)
    if block is None:
        kept = {"tool_calls": [_kept(call) for call in asked]} if asked else {}
        return types.ChatMessage(role=role, content=text, additional_kwargs=kept)
    blocks = [types.TextBlock(text=text)] if text or not asked else []
    blocks += [block(tool_call_id=c.id, tool_name=c.name, tool_kwargs=_arguments(c.arguments)) for c in asked]
    return types.ChatMessage(role=role, blocks=blocks)


def _content(message: Any) -> Any:
    """The text, or the parts where there is more than text."""
    if not any(block.block_type == "image" for block in message.blocks):
        return message.content
    return [_part(block) for block in message.blocks if block.block_type != "tool_call"]


def _part(block: Any) -> Json:
    if block.block_type == "text":
        return {"type": "text", "text": block.text}
    if block.block_type != "image":
        return {"type": block.block_type}
    url = str(block.url) if block.url else _data_url(block)
    return {"type": "image_url", "image_url": {"url": url}}


def _data_url(block: Any) -> str:
    data = base64.b64encode(block.resolve_image().read()).decode()
    return f"data:{block.image_mimetype or 'image/png'};base64,{data}"


def _asked(block: Any) -> Json:
    given = block.tool_kwargs
    arguments = given if isinstance(given, str) else json.dumps(given)
    return {
        "id": block.tool_call_id or "",
        "type": "function",
        "function": {"name": block.tool_name, "arguments": arguments},
    }


def _plain(call: Any) -> Any:
    return call.model_dump() if hasattr(call, "model_dump") else call


def _kept(call: ToolRequest) -> Json:
    return {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": call.arguments}}


def _arguments(text: str) -> Any:
    """The arguments as an object; as the model wrote them where they are none."""
    try:
        read: Any = json.loads(text or "{}")
    except ValueError:
        return text
    return read if hasattr(read, "keys") else text
