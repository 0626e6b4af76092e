"""From a Reply to the Responses API: the response object, and its typed stream of events."""

from __future__ import annotations

import time
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from aios_kernel.abi import Delta, LLMCall, Reply, ToolRequest, ToolRequestDelta, Usage

__all__ = ["ResponseEvents", "response_body"]

Json = dict[str, Any]
_ECHOED: Json = {
    "instructions": None,
    "max_output_tokens": None,
    "metadata": {},
    "parallel_tool_calls": True,
    "temperature": 1.0,
    "text": {"format": {"type": "text"}},
    "tool_choice": "auto",
    "tools": [],
    "top_p": 1.0,
}


def response_body(call: LLMCall, reply: Reply, body: Mapping[str, Any]) -> Json:
    """Return a `response`."""
    items: list[_Item] = [_Call(_id("fc_"), request) for request in reply.tool_calls]
    if reply.text or not items:
        items.insert(0, _Message(_id("msg_"), reply.text))
    return _finished(_shell(call, body, reply.model), items, reply.finish_reason, reply.usage)


class ResponseEvents:
    """Write the stream of events, one `feed` per delta; `end` follows the last.

    A message is open from its first piece to the first function call; function calls are open, side by side, to the end.
    """

    def __init__(self, call: LLMCall, body: Mapping[str, Any]) -> None:
        self._shell = _shell(call, body, "")
        self._items: list[_Item] = []
        self._calls: dict[int, _Call] = {}
        self._number = 0
        self._usage = Usage()
        self._finish: str = "stop"

    def begin(self) -> Iterator[Json]:
        """Yield what comes before the first piece."""
        begun: Json = {**self._shell, "status": "in_progress", "output": [], "usage": None, "incomplete_details": None}
        yield self._event("created", response=begun)
        yield self._event("in_progress", response=begun)

    def feed(self, delta: Delta) -> Iterator[Json]:
        """Yield the events of one piece."""
        self._usage = delta.usage or self._usage
        self._finish = delta.finish_reason or self._finish
        if delta.text:
            yield from self._text(delta.text)
        for piece in delta.tool_calls:
            yield from self._arguments(piece)

    def end(self) -> Iterator[Json]:
        """Yield the ends of what is open, then the whole response."""
        if not self._items:
            yield from self._text("")
        for item in self._items:
            yield from self._close(item)
        whole = _finished(self._shell, self._items, self._finish, self._usage)
        yield self._event(whole["status"], response=whole)

    def _text(self, text: str) -> Iterator[Json]:
        last = self._items[-1] if self._items else None
        if not isinstance(last, _Message) or last.closed:
            last = _Message(_id("msg_"))
            yield from self._open(last)
            yield self._event("content_part.added", **self._place(last), content_index=0, part=last.part(""))
        last.text += text
        if text:
            yield self._event("output_text.delta", **self._place(last), content_index=0, delta=text, logprobs=[])

    def _arguments(self, piece: ToolRequestDelta) -> Iterator[Json]:
        call = self._calls.get(piece.index)
        if call is None:
            if self._items:
                yield from self._close(self._items[-1], only_message=True)
            request = ToolRequest(id=piece.id or _id("call_"), name=piece.name or "", arguments="")
            call = self._calls[piece.index] = _Call(_id("fc_"), request)
            yield from self._open(call)
        call.arguments += piece.arguments
        if piece.arguments:
            yield self._event("function_call_arguments.delta", **self._place(call), delta=piece.arguments)

    def _open(self, item: _Item) -> Iterator[Json]:
        self._items.append(item)
        yield self._event("output_item.added", output_index=len(self._items) - 1, item=item.opened())

    def _close(self, item: _Item, *, only_message: bool = False) -> Iterator[Json]:
        if item.closed or (only_message and not isinstance(item, _Message)):
            return
        item.closed = True
        place = self._place(item)
        if isinstance(item, _Message):
            yield self._event("output_text.done", **place, content_index=0, text=item.text, logprobs=[])
            yield self._event("content_part.done", **place, content_index=0, part=item.part(item.text))
        else:
            yield self._event("function_call_arguments.done", **place, name=item.request.name, arguments=item.arguments)
        yield self._event("output_item.done", output_index=place["output_index"], item=item.body())

    def _place(self, item: _Item) -> Json:
        return {"item_id": item.id, "output_index": self._items.index(item)}

    def _event(self, kind: str, **fields: Any) -> Json:
        number, self._number = self._number, self._number + 1
        return {"type": f"response.{kind}", "sequence_number": number, **fields}


@dataclass(eq=False)
class _Message:
    """A message of the output."""

    id: str
    text: str = ""
    closed: bool = False

    def part(self, text: str) -> Json:
        return {"type": "output_text", "text": text, "annotations": [], "logprobs": []}

    def opened(self) -> Json:
        return {**self.body(), "status": "in_progress", "content": []}

    def body(self) -> Json:
        head = {"type": "message", "id": self.id, "status": "completed", "role": "assistant"}
        return {**head, "content": [self.part(self.text)]}


@dataclass(eq=False)
class _Call:
    """A function call of the output."""

    id: str
    request: ToolRequest
    arguments: str = field(init=False)
    closed: bool = False

    def __post_init__(self) -> None:
        self.arguments = self.request.arguments

    def opened(self) -> Json:
        return {**self.body(), "status": "in_progress", "arguments": ""}

    def body(self) -> Json:
        head = {"type": "function_call", "id": self.id, "call_id": self.request.id or self.id}
        return {**head, "name": self.request.name, "arguments": self.arguments, "status": "completed"}


_Item = _Message | _Call


def _shell(call: LLMCall, body: Mapping[str, Any], model: str) -> Json:
    echoed = {key: default if body.get(key) is None else body[key] for key, default in _ECHOED.items()}
    head = {"id": _id("resp_"), "object": "response", "created_at": time.time(), "model": model or call.model}
    return {**head, "error": None, "previous_response_id": None, **echoed}


def _finished(shell: Json, items: list[_Item], finish: str, usage: Usage) -> Json:
    cut = finish == "length"
    return {
        **shell,
        "status": "incomplete" if cut else "completed",
        "incomplete_details": {"reason": "max_output_tokens"} if cut else None,
        "output": [item.body() for item in items],
        "usage": {
            "input_tokens": usage.input_tokens,
            "input_tokens_details": {"cached_tokens": usage.cached_tokens},
            "output_tokens": usage.output_tokens,
            "output_tokens_details": {"reasoning_tokens": 0},
            "total_tokens": usage.total_tokens,
        },
    }


def _id(prefix: str) -> str:
    return prefix + uuid.uuid4().hex
