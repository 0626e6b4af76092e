"""What a request asks, whichever API it came through: the argument of every reply function."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field
from typing import Any, cast

from ._tokens import count_prompt, message_text

Json = dict[str, Any]


@dataclass(frozen=True)
class Prompt:
    """One parsed request. `messages` and `tools` have chat-completions shape for all APIs."""

    kind: str  # "chat", "completions" or "responses"
    body: Json
    messages: list[Json]
    tools: list[Json] = field(default_factory=list[Json])
    headers: dict[str, str] = field(default_factory=dict[str, str])

    @property
    def model(self) -> str:
        """The requested model's name."""
        return str(self.body.get("model", ""))

    @property
    def last(self) -> Json:
        """The message to be answered; an empty one when there is none."""
        return self.messages[-1] if self.messages else {}

    @property
    def text(self) -> str:
        """The text of the message to be answered."""
        return message_text(self.last)

    @property
    def user_text(self) -> str:
        """The text of the last user message."""
        users = [message for message in self.messages if message.get("role") == "user"]
        return message_text(users[-1]) if users else ""

    @property
    def max_tokens(self) -> int | None:
        """The most completion tokens the request allows, or None."""
        for name in ("max_completion_tokens", "max_tokens", "max_output_tokens"):
            if self.body.get(name) is not None:
                return int(self.body[name])
        return None

    @property
    def stop(self) -> list[str]:
        """The stop strings."""
        stop: Any = self.body.get("stop") or ()
        return [stop] if isinstance(stop, str) else list(stop)

    @property
    def tokens(self) -> int:
        """The prompt's length by the endpoint's token rule."""
        return count_prompt(self.messages, self.tools)

    @property
    def digest(self) -> str:
        """A hexadecimal digest of the body: the source of every id in the reply."""
        return digest(self.body)


def digest(body: Json) -> str:
    """Hash a JSON body, independent of its key order."""
    return hashlib.sha256(json.dumps(body, sort_keys=True).encode()).hexdigest()


def part(body: Json, name: str) -> Json:
    """Return an object inside a JSON object, empty where it is missing or null."""
    return cast("Json", body.get(name) or {})


def parse(kind: str, body: Json, headers: dict[str, str]) -> Prompt:
    """Read a request body of the API `kind`; raise ValueError for one that API would refuse."""
    if not isinstance(body.get("model"), str):
        raise ValueError("you must provide a model parameter")
    if kind == "chat":
        if not isinstance(body.get("messages"), list) or not body["messages"]:
            raise ValueError("messages must be a non-empty list")
        return Prompt(kind, body, body["messages"], list(body.get("tools") or []), headers)
    if kind == "completions":
        prompt = body.get("prompt", "")
        text = "\n".join(map(str, cast("list[Any]", prompt))) if isinstance(prompt, list) else str(prompt)
        return Prompt(kind, body, [{"role": "user", "content": text}], [], headers)
    given: list[Json] = body.get("tools") or []
    tools = [_chat_tool(tool) for tool in given if tool.get("type") == "function"]
    return Prompt(kind, body, _response_messages(body), tools, headers)


def _chat_tool(tool: Json) -> Json:
    return {"type": "function", "function": {key: value for key, value in tool.items() if key != "type"}}


def _response_messages(body: Json) -> list[Json]:
    items = body.get("input") or ""
    head = [{"role": "system", "content": body["instructions"]}] if body.get("instructions") else []
    if isinstance(items, str):
        return [*head, {"role": "user", "content": items}]
    return head + [_item_message(item) for item in items]


def _item_message(item: Json) -> Json:
    """Turn an input item of the responses API into a chat message."""
    if item.get("type") == "function_call_output":
        return {"role": "tool", "tool_call_id": item.get("call_id"), "content": item.get("output")}
    if item.get("type") == "function_call":
        function = {"name": item.get("name"), "arguments": item.get("arguments")}
        call = {"id": item.get("call_id"), "type": "function", "function": function}
        return {"role": "assistant", "content": None, "tool_calls": [call]}
    return {"role": item.get("role", "user"), "content": item.get("content")}
