"""One request's answer in the form of its path: a whole body, or the bytes of its stream."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Protocol

from aios_kernel.abi import Delta, LLMCall, Reply
from aios_kernel.wire import chat, responses_out

__all__ = ["EVENTS", "Events", "answer_body", "done", "encode"]

Json = dict[str, Any]


class Events(Protocol):
    """Write a reply as the events of a stream: `begin`, then one `feed` per delta, then `end`."""

    def begin(self) -> Iterator[Json]:
        """Yield what comes before the first piece."""
        ...

    def feed(self, delta: Delta) -> Iterator[Json]:
        """Yield the events of one piece."""
        ...

    def end(self) -> Iterator[Json]:
        """Yield what follows the last piece."""
        ...


_BODIES: dict[str, Callable[[LLMCall, Reply, Mapping[str, Any]], Json]] = {
    "/chat/completions": chat.chat_body,
    "/completions": chat.completion_body,
    "/responses": responses_out.response_body,
    "/embeddings": chat.embedding_body,
}
#: The writer of each path's stream, made from the call and the request's body.
EVENTS: dict[str, Callable[[LLMCall, Mapping[str, Any]], Events]] = {
    "/chat/completions": chat.ChatChunks,
    "/completions": chat.CompletionChunks,
    "/responses": responses_out.ResponseEvents,
}


def answer_body(path: str, call: LLMCall, reply: Reply, body: Mapping[str, Any]) -> Json:
    """Return the whole answer to a request."""
    return _BODIES[path](call, reply, body)


def encode(path: str, events: Iterator[Json]) -> bytes:
    """Encode events as server-sent events; those of the Responses API are named."""
    named = path == "/responses"
    return b"".join(
        (f"event: {event['type']}\n" if named else "").encode() + b"data: " + json.dumps(event).encode() + b"\n\n"
        for event in events
    )


def done(path: str) -> bytes:
    """Return what ends a stream after its last event."""
    return b"" if path == "/responses" else b"data: [DONE]\n\n"
