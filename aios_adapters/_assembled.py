"""A streamed reply put together of its pieces."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aios_kernel.abi import Reply, ToolRequest, Usage

if TYPE_CHECKING:
    from aios_kernel.abi import Delta, FinishReason

__all__ = ["Assembled"]


class Assembled:
    """What has come of a reply so far."""

    def __init__(self) -> None:
        self.text = ""
        self._calls: dict[int, ToolRequest] = {}
        self._finish: FinishReason = "stop"
        self._usage = Usage()

    def add(self, delta: Delta) -> None:
        """Add a piece."""
        self.text += delta.text
        self._finish, self._usage = delta.finish_reason or self._finish, delta.usage or self._usage
        for piece in delta.tool_calls:
            so_far = self._calls.get(piece.index, ToolRequest(id="", name="", arguments=""))
            self._calls[piece.index] = ToolRequest(
                id=piece.id or so_far.id,
                name=piece.name or so_far.name,
                arguments=so_far.arguments + piece.arguments,
            )

    @property
    def calls(self) -> tuple[ToolRequest, ...]:
        """The tool calls."""
        return tuple(self._calls[index] for index in sorted(self._calls))

    @property
    def reply(self) -> Reply:
        """The whole."""
        return Reply(text=self.text, tool_calls=self.calls, finish_reason=self._finish, usage=self._usage)
