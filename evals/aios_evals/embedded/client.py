"""What an agent loop talks to: something that answers chat requests, in batches, in the manner of the OpenAI API."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol


@dataclass(frozen=True)
class Request:
    """One chat completion request."""

    messages: list[dict[str, Any]]
    tools: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])
    stop: str | None = None


@dataclass(frozen=True)
class Reply:
    """Text and tool calls (name, arguments) of one reply."""

    text: str
    calls: tuple[tuple[str, Mapping[str, Any]], ...] = ()


class Client(Protocol):
    """Answer many requests at once."""

    def complete(self, requests: Sequence[Request]) -> list[Reply]:
        """Return one reply per request, in order."""
        ...
