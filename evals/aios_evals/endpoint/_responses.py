"""Replies in the wire format of /responses, whole or as its typed stream of events."""

from __future__ import annotations

from collections.abc import Iterator

from ._chat import CREATED, call_id
from ._prompt import Json, Prompt
from ._replies import Reply
from ._tokens import pieces


def response_reply(prompt: Prompt, reply: Reply) -> Json:
    """Return a `response` object."""
    cut = reply.finish == "length"
    state = {"status": "incomplete" if cut else "completed"}
    details = {"incomplete_details": {"reason": "max_output_tokens"} if cut else None}
    return {**_shell(prompt), **state, **details, "output": _items(prompt, reply), "usage": _usage(prompt, reply)}


def response_events(prompt: Prompt, reply: Reply) -> Iterator[Json]:
    """Yield the stream's events, numbered, from `response.created` to `response.completed`."""
    for number, event in enumerate(_events(prompt, reply)):
        yield {**event, "sequence_number": number}


def _events(prompt: Prompt, reply: Reply) -> Iterator[Json]:
    begun: Json = {**_shell(prompt), "status": "in_progress", "incomplete_details": None, "output": [], "usage": None}
    yield {"type": "response.created", "response": begun}
    yield {"type": "response.in_progress", "response": begun}
    for index, item in enumerate(_items(prompt, reply)):
        yield from _message_events(item, index) if item["type"] == "message" else _call_events(item, index)
    whole = response_reply(prompt, reply)
    yield {"type": f"response.{whole['status']}", "response": whole}


def _message_events(item: Json, index: int) -> Iterator[Json]:
    part: Json = item["content"][0]
    place = {"item_id": item["id"], "output_index": index, "content_index": 0}
    empty = {**part, "text": ""}
    opened: Json = {**item, "status": "in_progress", "content": []}
    yield {"type": "response.output_item.added", "output_index": index, "item": opened}
    yield {"type": "response.content_part.added", **place, "part": empty}
    for piece in pieces(part["text"]):
        yield {"type": "response.output_text.delta", **place, "delta": piece, "logprobs": []}
    yield {"type": "response.output_text.done", **place, "text": part["text"], "logprobs": []}
    yield {"type": "response.content_part.done", **place, "part": part}
    yield {"type": "response.output_item.done", "output_index": index, "item": item}


def _call_events(item: Json, index: int) -> Iterator[Json]:
    place = {"item_id": item["id"], "output_index": index}
    opened = {**item, "status": "in_progress", "arguments": ""}
    done = {"arguments": item["arguments"], "name": item["name"]}
    yield {"type": "response.output_item.added", "output_index": index, "item": opened}
    for piece in pieces(item["arguments"]):
        yield {"type": "response.function_call_arguments.delta", **place, "delta": piece}
    yield {"type": "response.function_call_arguments.done", **place, **done}
    yield {"type": "response.output_item.done", "output_index": index, "item": item}


def _items(prompt: Prompt, reply: Reply) -> list[Json]:
    calls = [
        {
            "type": "function_call",
            "id": f"fc_{prompt.digest[:20]}{i}",
            "call_id": call_id(prompt, i),
            "name": call.name,
            "arguments": call.arguments_text,
            "status": "completed",
        }
        for i, call in enumerate(reply.tool_calls)
    ]
    return calls or [_message_item(prompt, reply)]


def _message_item(prompt: Prompt, reply: Reply) -> Json:
    content: list[Json] = [{"type": "output_text", "text": reply.text or "", "annotations": [], "logprobs": []}]
    status = "incomplete" if reply.finish == "length" else "completed"
    head = {"type": "message", "id": f"msg_{prompt.digest[:24]}"}
    return {**head, "status": status, "role": "assistant", "content": content}


def _shell(prompt: Prompt) -> Json:
    body = prompt.body
    return {
        "id": f"resp_{prompt.digest[:24]}",
        "object": "response",
        "created_at": CREATED,
        "model": prompt.model,
        "error": None,
        "instructions": body.get("instructions"),
        "max_output_tokens": body.get("max_output_tokens"),
        "metadata": body.get("metadata") or {},
        "parallel_tool_calls": True,
        "previous_response_id": body.get("previous_response_id"),
        "temperature": body.get("temperature", 1.0),
        "text": body.get("text") or {"format": {"type": "text"}},
        "tool_choice": body.get("tool_choice") or "auto",
        "tools": body.get("tools") or [],
        "top_p": body.get("top_p", 1.0),
    }


def _usage(prompt: Prompt, reply: Reply) -> Json:
    return {
        "input_tokens": prompt.tokens,
        "input_tokens_details": {"cached_tokens": 0},
        "output_tokens": reply.tokens,
        "output_tokens_details": {"reasoning_tokens": 0},
        "total_tokens": prompt.tokens + reply.tokens,
    }
