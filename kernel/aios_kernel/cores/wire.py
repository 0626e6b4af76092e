"""The wire format of OpenAI-compatible servers: calls to bodies, bodies and events to replies."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, cast

from aios_kernel.abi import (
    ChatCall,
    CompletionCall,
    Delta,
    EmbeddingCall,
    LLMCall,
    Reply,
    ToolRequest,
    ToolRequestDelta,
    Usage,
)
from aios_kernel.errors import CoreError

if TYPE_CHECKING:
    from aios_kernel.abi import FinishReason

__all__ = ["Accumulator", "body_of", "events", "path_of", "reply_of"]

Json = dict[str, Any]
_PATHS = {"chat": "/chat/completions", "completion": "/completions", "embedding": "/embeddings"}
_FINISHES: dict[str, FinishReason] = {
    "stop": "stop",
    "length": "length",
    "tool_calls": "tool_calls",
    "function_call": "tool_calls",
    "content_filter": "content_filter",
}


def path_of(call: LLMCall) -> str:
    """The path below the base URL that answers such a call."""
    return _PATHS[call.operation]


def body_of(call: LLMCall, model: str | None) -> Json:
    """Translate a call; what was not asked for is not sent. The caller's extra parameters go along as they are."""
    body: Json = {"model": model or call.model}
    if isinstance(call, EmbeddingCall):
        body |= {"input": list(call.inputs), "encoding_format": "float", **_given(dimensions=call.dimensions)}
        return body | dict(call.extra)
    if isinstance(call, ChatCall):
        body |= {"messages": list(call.messages), **_chat_options(call)}
    elif isinstance(call, CompletionCall):
        body |= {"prompt": call.prompt, **_given(echo=call.echo or None)}
    sampling = call.sampling
    body |= _given(
        temperature=sampling.temperature,
        top_p=sampling.top_p,
        top_k=sampling.top_k,
        max_tokens=sampling.max_tokens,
        stop=list(sampling.stop) or None,
        seed=sampling.seed,
    )
    if call.stream:
        body |= {"stream": True, "stream_options": {"include_usage": True}}
    return {**dict(call.extra), **body}


def reply_of(call: LLMCall, body: Json) -> Reply:
    """Read a whole answer. Raises `CoreError` for one that is no answer."""
    try:
        if isinstance(call, EmbeddingCall):
            return _vectors(call, body)
        choice = body["choices"][0]
        message: Json = choice.get("message") or {"content": choice.get("text")}
        requests = tuple(_request(part, n) for n, part in enumerate(message.get("tool_calls") or ()))
        text = str(message.get("content") or "")
        finish = _finish(choice.get("finish_reason"), bool(requests))
    except (KeyError, IndexError, TypeError, ValueError, AttributeError) as error:
        raise CoreError(f"the endpoint's answer is not what was asked for: {_shortened(body)}") from error
    written = text + "".join(request.arguments for request in requests)
    return Reply(
        text=text,
        tool_calls=requests,
        finish_reason=finish,
        usage=_usage(call, body, written),
        model=str(body.get("model") or ""),
    )


def events(lines: Iterable[bytes]) -> Iterator[Json]:
    """Read server-sent events up to [DONE]. Raises `CoreError` for an error event or broken JSON."""
    data: list[bytes] = []
    for line in lines:
        stripped = line.rstrip(b"\r\n")
        if stripped.startswith(b"data:"):
            data.append(stripped[5:].strip())
        elif not stripped and data:
            text, data = b"\n".join(data), []
            if text == b"[DONE]":
                return
            yield _event(text)


def _event(text: bytes) -> Json:
    try:
        event = json.loads(text)
    except ValueError as error:
        raise CoreError(f"the endpoint's stream is not JSON: {_shortened(text.decode(errors='replace'))}") from error
    if not isinstance(event, dict):
        raise CoreError(f"the endpoint's stream has an event that is no object: {_shortened(event)}")
    if event.get("error"):  # pyright: ignore[reportUnknownMemberType]
        raise CoreError(f"the endpoint broke off: {_shortened(event['error'])}")
    return cast("Json", event)


class Accumulator:
    """Put a stream together: deltas as they come, the whole reply at the end."""

    def __init__(self, call: LLMCall) -> None:
        self._call = call
        self._text: list[str] = []
        self._requests: dict[int, ToolRequestDelta] = {}
        self._arguments: dict[int, list[str]] = {}
        self._finish: str | None = None
        self._last: Json = {}
        self._model = ""

    def add(self, event: Json) -> Delta | None:
        """Take an event in; return the piece it carries, None when it carries none."""
        if event.get("usage"):
            self._last = event
        self._model = self._model or str(event.get("model") or "")
        choices = event.get("choices") or ()
        if not choices or choices[0].get("index", 0) != 0:
            return None
        choice: Json = choices[0]
        delta: Json = choice.get("delta") or {"content": choice.get("text")}
        self._finish = choice.get("finish_reason") or self._finish
        text = str(delta.get("content") or "")
        self._text.append(text)
        pieces = tuple(self._piece(part) for part in delta.get("tool_calls") or ())
        return Delta(text=text, tool_calls=pieces) if text or pieces else None

    def _piece(self, part: Json) -> ToolRequestDelta:
        function: Json = part.get("function") or {}
        index = int(part.get("index") or 0)
        arguments = str(function.get("arguments") or "")
        piece = ToolRequestDelta(index=index, id=part.get("id"), name=function.get("name"), arguments=arguments)
        self._requests.setdefault(index, piece)
        self._arguments.setdefault(index, []).append(arguments)
        return piece

    def reply(self) -> Reply:
        """The whole reply. Raises `CoreError` when the stream ended without a finish reason."""
        if self._finish is None:
            raise CoreError("the endpoint's stream ended before the reply was finished") from EOFError(
                "no finish reason"
            )
        requests = tuple(
            ToolRequest(
                id=first.id or f"call_{index}", name=first.name or "", arguments="".join(self._arguments[index])
            )
            for index, first in sorted(self._requests.items())
        )
        text = "".join(self._text)
        return Reply(
            text=text,
            tool_calls=requests,
            finish_reason=_finish(self._finish, bool(requests)),
            usage=_usage(self._call, self._last, text + "".join(request.arguments for request in requests)),
            model=self._model,
        )


def _given(**options: Any) -> Json:
    return {name: value for name, value in options.items() if value is not None}


def _chat_options(call: ChatCall) -> Json:
    options = _given(tools=list(call.tools) or None, response_format=call.response_format)
    if call.tools:  # servers refuse these two without tools
        options |= _given(tool_choice=call.tool_choice, parallel_tool_calls=call.parallel_tool_calls)
    return options


def _request(part: Json, index: int) -> ToolRequest:
    function: Json = part["function"]
    arguments = function.get("arguments")
    text = arguments if isinstance(arguments, str) else json.dumps(arguments or {})
    return ToolRequest(id=str(part.get("id") or f"call_{index}"), name=str(function["name"]), arguments=text)


def _finish(reason: Any, asks_for_tools: bool) -> FinishReason:
    finish = _FINISHES.get(str(reason), "stop")
    return "tool_calls" if asks_for_tools and finish == "stop" else finish


def _vectors(call: EmbeddingCall, body: Json) -> Reply:
    data: list[Json] = sorted(body["data"], key=lambda item: int(item.get("index") or 0))
    vectors = tuple(tuple(float(number) for number in item["embedding"]) for item in data)
    return Reply(vectors=vectors, usage=_usage(call, body, ""), model=str(body.get("model") or ""))


def _usage(call: LLMCall, body: Json, written: str) -> Usage:
    """What the server counted; for one that does not count, the estimate of the prompt and of what was written."""
    usage: Json = body.get("usage") or {}
    if not usage:
        return Usage(input_tokens=call.estimated_usage.input_tokens, output_tokens=-(-len(written) // 4))
    details: Any = usage.get("prompt_tokens_details")
    cached = details.get("cached_tokens") if isinstance(details, Mapping) else 0  # pyright: ignore[reportUnknownMemberType,reportUnknownVariableType]
    return Usage(
        input_tokens=int(usage.get("prompt_tokens") or 0),
        output_tokens=int(usage.get("completion_tokens") or 0),
        cached_tokens=int(cached or 0),  # pyright: ignore[reportUnknownArgumentType]
    )


def _shortened(value: Any, length: int = 300) -> str:
    text = value if isinstance(value, str) else json.dumps(value, default=str)
    return text if len(text) <= length else f"{text[:length]}..."
