"""The endpoint's token rule: one token is a run of word characters or one other visible character.

The space before a token belongs to it, so the pieces of a text join back to the text.
"""

from __future__ import annotations

import json
import re
from typing import Any, cast

_PIECE = re.compile(r"\s*(?:\w+|[^\w\s])")
_TOKEN = re.compile(r"\w+|[^\w\s]")
MESSAGE_OVERHEAD = 3  # tokens a chat message costs besides its content


def pieces(text: str) -> list[str]:
    """Split a text into its tokens, each with the space before it."""
    return _PIECE.findall(text)


def count_tokens(text: str) -> int:
    """Count the tokens of a text."""
    return sum(1 for _ in _TOKEN.finditer(text))


def count_prompt(messages: list[dict[str, Any]], tools: list[dict[str, Any]]) -> int:
    """Count a prompt: its messages' texts and tool calls, three tokens a message, and the tools as JSON."""
    total = sum(MESSAGE_OVERHEAD + count_tokens(message_text(message)) for message in messages)
    calls = [message["tool_calls"] for message in messages if message.get("tool_calls")]
    return total + sum(count_tokens(json.dumps(part)) for part in [*calls, *tools])


def message_text(message: dict[str, Any]) -> str:
    """Return the text of a message whose content is a string, a list of parts or nothing."""
    content = message.get("content")
    if isinstance(content, list):
        return "".join(str(part.get("text", "")) for part in cast("list[dict[str, Any]]", content))
    return str(content or "")
