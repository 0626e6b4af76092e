"""From a Reply to the bodies of chat completions, completions and embeddings, whole or as chunks."""

from __future__ import annotations

import base64
import struct
import time
import uuid
from collections.abc import Iterator, Mapping
from typing import Any

from aios_kernel.abi import Delta, LLMCall, Reply, ToolRequest, ToolRequestDelta, Usage

__all__ = ["ChatChunks", "CompletionChunks", "chat_body", "completion_body", "embedding_body"]

Json = dict[str, Any]


def chat_body(call: LLMCall, reply: Reply, body: Mapping[str, Any]) -> Json:
    """Return a `chat.completion`."""
    del body
    message: Json = {"role": "assistant", "content": reply.text or (None if reply.tool_calls else ""), "refusal": None}
    if reply.tool_calls:
        message["tool_calls"] = [_tool_call(request) for request in reply.tool_calls]
    finish = "tool_calls" if reply.tool_calls and reply.finish_reason == "stop" else reply.finish_reason
    choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": finish}
    return {
        **_frame("chat.completion", reply.model or call.model),
        "choices": [choice],
        "usage": usage_body(reply.usage),
    }


def completion_body(call: LLMCall, reply: Reply, body: Mapping[str, Any]) -> Json:
    """Return a `text_completion`."""
    del body
    choice = {"index": 0, "text": reply.text, "logprobs": None, "finish_reason": reply.finish_reason}
    return {
        **_frame("text_completion", reply.model or call.model),
        "choices": [choice],
        "usage": usage_body(reply.usage),
    }


def embedding_body(call: LLMCall, reply: Reply, body: Mapping[str, Any]) -> Json:
    """Return an embedding `list`, as numbers or packed as the SDK asks by default."""
    packed = body.get("encoding_format") == "base64"
    data = [
        {"object": "embedding", "index": index, "embedding": _pack(vector) if packed else list(vector)}
        for index, vector in enumerate(reply.vectors)
    ]
    usage = {"prompt_tokens": reply.usage.input_tokens, "total_tokens": reply.usage.input_tokens}
    return {"object": "list", "model": reply.model or call.model, "data": data, "usage": usage}


def usage_body(usage: Usage) -> Json:
    """Return a usage object."""
    return {
        "prompt_tokens": usage.input_tokens,
        "completion_tokens": usage.output_tokens,
        "total_tokens": usage.total_tokens,
        "prompt_tokens_details": {"cached_tokens": usage.cached_tokens},
    }


class _Chunks:
    """Write a reply as chunks, one `feed` per delta; `end` follows the last."""

    kind = ""

    def __init__(self, call: LLMCall, body: Mapping[str, Any]) -> None:
        options: Mapping[str, Any] = body.get("stream_options") or {}
        self._with_usage = bool(options.get("include_usage"))
        self._frame = _frame(self.kind, call.model)
        if self._with_usage:
            self._frame["usage"] = None
        self._usage: Usage | None = None
        self._finish: str | None = None

    def begin(self) -> Iterator[Json]:
        """Yield what comes before the first piece."""
        return iter(())

    def feed(self, delta: Delta) -> Iterator[Json]:
        """Yield the chunks of one piece."""
        self._usage = delta.usage or self._usage
        self._finish = delta.finish_reason or self._finish
        yield from self._pieces(delta)

    def end(self) -> Iterator[Json]:
        """Yield the finish and, where it was asked for, the usage."""
        yield self._chunk(self._empty(), self._finish or "stop")
        if self._with_usage and self._usage is not None:
            yield {**self._frame, "choices": [], "usage": usage_body(self._usage)}

    def _chunk(self, content: Json, finish: str | None = None) -> Json:
        choice = {"index": 0, **content, "logprobs": None, "finish_reason": finish}
        return {**self._frame, "choices": [choice]}

    def _pieces(self, delta: Delta) -> Iterator[Json]:
        raise NotImplementedError

    def _empty(self) -> Json:
        raise NotImplementedError


class ChatChunks(_Chunks):
    """Write `chat.completion.chunk`s."""

    kind = "chat.completion.chunk"

    def __init__(self, call: LLMCall, body: Mapping[str, Any]) -> None:
        super().__init__(call, body)
        self._named: set[int] = set()

    def begin(self) -> Iterator[Json]:
        """Yield the role."""
        yield self._chunk({"delta": {"role": "assistant", "content": "", "refusal": None}})

    def end(self) -> Iterator[Json]:
        """Yield the finish, which is that of a tool call where there was one."""
        if self._named and self._finish in {None, "stop"}:
            self._finish = "tool_calls"
        return super().end()

    def _pieces(self, delta: Delta) -> Iterator[Json]:
        if delta.text:
            yield self._chunk({"delta": {"content": delta.text}})
        for piece in delta.tool_calls:
            yield self._chunk({"delta": {"tool_calls": [self._tool_piece(piece)]}})

    def _tool_piece(self, piece: ToolRequestDelta) -> Json:
        if piece.index in self._named:
            return {"index": piece.index, "function": {"arguments": piece.arguments}}
        self._named.add(piece.index)
        function = {"name": piece.name, "arguments": piece.arguments}
        return {"index": piece.index, "id": piece.id or _id("call_"), "type": "function", "function": function}

    def _empty(self) -> Json:
        return {"delta": {}}


class CompletionChunks(_Chunks):
    """Write `text_completion` chunks."""

    kind = "text_completion"

    def _pieces(self, delta: Delta) -> Iterator[Json]:
        if delta.text:
            yield self._chunk({"text": delta.text})

    def _empty(self) -> Json:
        return {"text": ""}


def _frame(kind: str, model: str) -> Json:
    prefix = "cmpl-" if kind == "text_completion" else "chatcmpl-"
    return {"id": _id(prefix), "object": kind, "created": int(time.time()), "model": model}


def _id(prefix: str) -> str:
    return prefix + uuid.uuid4().hex


def _tool_call(request: ToolRequest) -> Json:
    function = {"name": request.name, "arguments": request.arguments}
    return {"id": request.id or _id("call_"), "type": "function", "function": function}


def _pack(vector: tuple[float, ...]) -> str:
    """Encode as little-endian float32, as the API does."""
    return base64.b64encode(struct.pack(f"<{len(vector)}f", *vector)).decode()
