"""A whole reply from its pieces, and pieces of a whole reply."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aios_kernel.abi import Delta, Reply, ToolRequest, ToolRequestDelta, Usage

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

__all__ = ["deltas_of", "reply_of"]


def reply_of(deltas: Sequence[Delta]) -> Reply:
    """Put the pieces together."""
    requests: dict[int, ToolRequest] = {}
    for piece in (piece for delta in deltas for piece in delta.tool_calls):
        seen = requests.get(piece.index, ToolRequest(id="", name="", arguments=""))
        requests[piece.index] = ToolRequest(
            id=seen.id or piece.id or "", name=seen.name or piece.name or "", arguments=seen.arguments + piece.arguments
        )
    last = deltas[-1] if deltas else Delta()
    return Reply(
        text="".join(delta.text for delta in deltas),
        tool_calls=tuple(request for _, request in sorted(requests.items())),
        finish_reason=last.finish_reason or "stop",
        usage=last.usage or Usage(),
    )


def deltas_of(reply: Reply) -> Iterator[Delta]:
    """The text, each tool call, and the end."""
    if reply.text:
        yield Delta(text=reply.text)
    for index, one in enumerate(reply.tool_calls):
        yield Delta(tool_calls=(ToolRequestDelta(index=index, id=one.id, name=one.name, arguments=one.arguments),))
    yield Delta(finish_reason=reply.finish_reason, usage=reply.usage)
