"""From a chat in OpenAI's shape to the text that the model's own template makes of it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from aios_kernel.errors import CoreError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

__all__ = ["TOOLS_PROMPT", "begun", "chosen_tools", "functions", "messages_for", "render"]

#: For a model whose template has no place for tools: said in the system message, in Hermes' words.
TOOLS_PROMPT = """You can call functions. The functions, as JSON:
{tools}
To call one, reply with <tool_call>{{"name": "...", "arguments": {{...}}}}</tool_call>."""


def functions(tools: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return the functions inside tools, whichever of the two usual shapes they come in; others are left out."""
    found = [dict(tool.get("function", tool)) for tool in tools if tool.get("type", "function") == "function"]
    for function in found:
        if not isinstance(function.get("name"), str):
            raise CoreError(f"a tool without a name: {json.dumps(function, default=str)[:200]}; give it one")
    return found


def chosen_tools(tools: list[dict[str, Any]], choice: Any) -> tuple[list[dict[str, Any]], bool]:
    """Return the tools that may be called under a tool choice, and whether one must be."""
    if choice in (None, "auto") or not tools:
        return tools, False
    if choice == "none":
        return [], False
    if choice in ("required", "any"):
        return tools, True
    function: Any = choice if isinstance(choice, str) else choice.get("function", choice)
    name: Any = function if isinstance(function, str) else function.get("name")
    chosen = [tool for tool in tools if tool["name"] == name]
    if not chosen:
        known = ", ".join(sorted(tool["name"] for tool in tools))
        raise CoreError(f"tool_choice asks for {name!r}, which is not among the tools: {known}")
    return chosen, True


def begun(messages: Sequence[Mapping[str, Any]], extra: Mapping[str, Any]) -> str | None:
    """Return the text of the last message where the reply is to continue it (as vLLM's parameter asks), else None."""
    if not extra.get("continue_final_message"):
        return None
    last: Mapping[str, Any] = messages[-1] if messages else {}
    if last.get("role") != "assistant" or last.get("tool_calls"):
        raise CoreError(
            "continue_final_message continues text: the last message must be the assistant's, with text only"
        )
    return _text(last.get("content"))


def messages_for(messages: Sequence[Mapping[str, Any]], template: str) -> list[dict[str, Any]]:
    """Return messages as templates expect them: content as text, arguments as objects, roles the template knows."""
    if not messages:
        raise CoreError("the chat has no messages: send at least one")
    return [_message(message, template) for message in messages]


def render(
    tokenizer: Any, messages: list[dict[str, Any]], tools: list[dict[str, Any]], options: Mapping[str, Any]
) -> str:
    """Return the prompt; raises CoreError with the template's own words when it refuses the messages."""
    shaped = [{"type": "function", "function": tool} for tool in tools] or None
    try:
        text = tokenizer.apply_chat_template(
            messages, tools=shaped, tokenize=False, **{"add_generation_prompt": True, **options}
        )
    except Exception as error:
        raise CoreError(f"the model's chat template refuses these messages: {error}") from error
    return str(text)


def with_tools_prompt(messages: list[dict[str, Any]], tools: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Describe the tools in the system message, for a template that has no place for them."""
    listed = "\n".join(json.dumps(tool) for tool in tools)
    prompt = TOOLS_PROMPT.format(tools=listed)
    messages = [_without_tools(message) for message in messages]
    if messages[0]["role"] == "system":
        return [{**messages[0], "content": f"{messages[0]['content']}\n\n{prompt}"}, *messages[1:]]
    return [{"role": "system", "content": prompt}, *messages]


def _message(message: Mapping[str, Any], template: str) -> dict[str, Any]:
    shaped = {key: value for key, value in message.items() if value is not None}
    shaped["content"] = _text(message.get("content"))
    if shaped.get("role") == "developer" and "developer" not in template:
        shaped["role"] = "system"
    if shaped.get("tool_calls"):
        shaped["tool_calls"] = [_tool_call(call) for call in shaped["tool_calls"]]
    else:
        # Many templates ask only whether the key is there.
        shaped.pop("tool_calls", None)
    return shaped


def _text(content: Any) -> str:
    if content is None or isinstance(content, str):
        return content or ""
    if isinstance(content, dict):
        content = [content]
    return "".join(_part(part) for part in content)


def _part(part: Any) -> str:
    if isinstance(part, str):
        return part
    kind = part.get("type", "text")
    if "text" in part:
        return str(part["text"])
    if kind == "refusal":
        return str(part.get("refusal", ""))
    raise CoreError(f"the torch core reads text only, and a message has a part of type {kind!r}: leave it out")


def _tool_call(call: Mapping[str, Any]) -> dict[str, Any]:
    function = dict(call.get("function", {}))
    arguments = function.get("arguments", {})
    if isinstance(arguments, str):
        try:
            function["arguments"] = json.loads(arguments) if arguments.strip() else {}
        except ValueError:
            function["arguments"] = arguments  # what a model wrote badly is shown to it as it was
    return {"type": "function", **call, "function": function}


def _without_tools(message: dict[str, Any]) -> dict[str, Any]:
    """Say calls and results in plain text, since the template would drop them."""
    if message.get("tool_calls"):
        calls = "".join(
            f"<tool_call>{json.dumps({k: c['function'].get(k) for k in ('name', 'arguments')})}</tool_call>"
            for c in message["tool_calls"]
        )
        return {"role": "assistant", "content": message["content"] + calls}
    if message.get("role") == "tool":
        return {"role": "user", "content": f"<tool_response>{message['content']}</tool_response>"}
    return message
