"""Replies in the wire format of /chat/completions and /completions, whole or as a stream of chunks."""

from __future__ import annotations

from collections.abc import Iterator

from ._prompt import Json, Prompt, part
from ._replies import Reply, ToolCall
from ._tokens import pieces

CREATED = 1_700_000_000  # every reply's timestamp, so that equal requests get equal bytes


def usage(prompt: Prompt, reply: Reply) -> Json:
    """Return the token usage of a reply; `n` choices multiply the completion."""
    completion = reply.tokens * choices(prompt)
    total = prompt.tokens + completion
    return {"prompt_tokens": prompt.tokens, "completion_tokens": completion, "total_tokens": total}


def choices(prompt: Prompt) -> int:
    """Return how many choices the request wants."""
    return int(prompt.body.get("n") or 1)


def chat_reply(prompt: Prompt, reply: Reply) -> Json:
    """Return a `chat.completion`."""
    message: Json = {"role": "assistant", "content": reply.text, "refusal": None}
    if reply.tool_calls:
        message["tool_calls"] = [_tool_call(prompt, call, i) for i, call in enumerate(reply.tool_calls)]
    parts = [_choice(i, {"message": message}, reply.finish) for i in range(choices(prompt))]
    return {**_frame(prompt, "chat.completion"), "choices": parts, "usage": usage(prompt, reply)}


def chat_chunks(prompt: Prompt, reply: Reply) -> Iterator[Json]:
    """Yield `chat.completion.chunk`s: the role, one piece of text or arguments each, the finish, the usage."""
    frame = _frame(prompt, "chat.completion.chunk")
    with_usage = bool(part(prompt.body, "stream_options").get("include_usage"))
    frame = {**frame, "usage": None} if with_usage else frame
    for i in range(choices(prompt)):
        for delta in _deltas(prompt, reply):
            yield {**frame, "choices": [_choice(i, {"delta": delta}, None)]}
        yield {**frame, "choices": [_choice(i, {"delta": {}}, reply.finish)]}
    if with_usage:
        yield {**frame, "choices": [], "usage": usage(prompt, reply)}


def completion_reply(prompt: Prompt, reply: Reply) -> Json:
    """Return a `text_completion`."""
    parts = [_choice(i, {"text": reply.text or ""}, reply.finish) for i in range(choices(prompt))]
    return {**_frame(prompt, "text_completion"), "choices": parts, "usage": usage(prompt, reply)}


def completion_chunks(prompt: Prompt, reply: Reply) -> Iterator[Json]:
    """Yield `text_completion` chunks: one piece of text each, the finish, the usage."""
    frame = _frame(prompt, "text_completion")
    for i in range(choices(prompt)):
        for piece in pieces(reply.text or ""):
            yield {**frame, "choices": [_choice(i, {"text": piece}, None)]}
        yield {**frame, "choices": [_choice(i, {"text": ""}, reply.finish)]}
    if part(prompt.body, "stream_options").get("include_usage"):
        yield {**frame, "choices": [], "usage": usage(prompt, reply)}


def call_id(prompt: Prompt, index: int) -> str:
    """Return a tool call's id."""
    return f"call_{prompt.digest[:20]}{index}"


def _frame(prompt: Prompt, kind: str) -> Json:
    prefix = "cmpl" if kind == "text_completion" else "chatcmpl"
    return {"id": f"{prefix}-{prompt.digest[:24]}", "object": kind, "created": CREATED, "model": prompt.model}


def _choice(index: int, content: Json, finish: str | None) -> Json:
    return {"index": index, **content, "logprobs": None, "finish_reason": finish}


def _tool_call(prompt: Prompt, call: ToolCall, index: int) -> Json:
    function = {"name": call.name, "arguments": call.arguments_text}
    return {"id": call_id(prompt, index), "type": "function", "function": function}


def _deltas(prompt: Prompt, reply: Reply) -> Iterator[Json]:
    yield {"role": "assistant", "content": None if reply.tool_calls else ""}
    for piece in pieces(reply.text or ""):
        yield {"content": piece}
    for i, call in enumerate(reply.tool_calls):
        function = {"name": call.name, "arguments": ""}
        yield {"tool_calls": [{"index": i, "id": call_id(prompt, i), "type": "function", "function": function}]}
        for piece in pieces(call.arguments_text):
            yield {"tool_calls": [{"index": i, "function": {"arguments": piece}}]}
