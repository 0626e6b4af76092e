"""What becomes of a new token: text, tool calls, pieces of a stream, and in the end the reply."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aios_kernel.abi import Delta, Reply, ToolRequest, ToolRequestDelta, Usage

if TYPE_CHECKING:
    from collections.abc import Collection

    from aios_kernel.abi import FinishReason
    from aios_kernel.cores.torch.sequence import Sequence

__all__ = ["append", "give", "reply"]


def append(sequence: Sequence, token: int, eos: Collection[int]) -> FinishReason | None:
    """Take a new token and pass on the text it completes; return why the reply ends with it, None if it goes on.

    Raises what the sequence's grammar raises.
    """
    sequence.tokens[sequence.length] = token
    sequence.length += 1
    if sequence.generated == 1:
        sequence.job.first_token()
    if token in eos:
        return "stop"
    text = sequence.stream.push(token)
    if text:
        give(sequence, text)
    constraint = sequence.request.constraint
    if (constraint is not None and constraint.accept(token)) or sequence.stream.stopped:
        return "stop"
    return "length" if sequence.generated >= sequence.request.max_tokens else None


def give(sequence: Sequence, text: str, end: FinishReason | None = None) -> None:
    """Pass text on, tool calls apart from content; `end` tells that no more will follow, and why."""
    calls: list[ToolRequest] = []
    parser = sequence.request.parser
    if parser is not None:
        text, calls = parser.push(text)
        if end is not None:
            rest, more = parser.flush(cut=end == "length")
            text, calls = text + rest, calls + more
    if not text and not calls:
        return
    pieces = tuple(
        ToolRequestDelta(index=index, id=call.id, name=call.name, arguments=call.arguments)
        for index, call in enumerate(calls, start=len(sequence.calls))
    )
    sequence.text.append(text)
    sequence.calls.extend(calls)
    if sequence.job.call.stream:
        sequence.job.emit(Delta(text=text, tool_calls=pieces))


def reply(sequence: Sequence, reason: FinishReason, model: str) -> Reply:
    """Pass on what was held back and return the whole reply."""
    give(sequence, sequence.stream.flush(), reason)
    return Reply(
        text="".join(sequence.text),
        tool_calls=tuple(sequence.calls),
        finish_reason="tool_calls" if sequence.calls and reason == "stop" else reason,
        usage=Usage(
            input_tokens=sequence.request.prompt_tokens,
            output_tokens=sequence.generated,
            cached_tokens=sequence.cached,
        ),
        model=model,
    )
