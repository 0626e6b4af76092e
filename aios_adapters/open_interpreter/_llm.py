"""The model: what reads `llm.completions` is given one that goes through the gate, whoever made the original."""

from __future__ import annotations

import re
from collections.abc import Callable, Generator, Iterator
from dataclasses import replace
from importlib import import_module
from typing import TYPE_CHECKING, Any

from aios_adapters import calls
from aios_adapters.litellm import request_of, usage_in
from aios_adapters.open_interpreter._identity import FRAMEWORK, agent_of
from aios_kernel import wire

if TYPE_CHECKING:
    from aios_kernel.abi import Delta, LLMCall

__all__ = ["text_llm", "tool_llm"]

Function = Callable[..., Any]
#: The text parser sees a fence only where it ends a piece, and the language only before a newline of its own.
_PIECES = re.compile(r"`+|\n|[^`\n]+")


class _Llm:
    """What a parser of replies sees: the interpreter's own Llm, but for its completions."""

    def __init__(self, llm: Any, *, split: bool) -> None:
        self._llm, self._split = llm, split
        self._open: list[Generator[Any, None, None]] = []
        #: Whether the parser has ended by itself, and left what it did not read on purpose.
        self.parsed = False

    def __getattr__(self, name: str) -> Any:
        return getattr(self._llm, name)

    def completions(self, **params: Any) -> Iterator[Any]:
        """Ask the model, by one syscall however often the original tries."""
        exchange = _Exchange(self._llm, params, split=self._split)
        stream = calls.llm_stream(
            FRAMEWORK,
            exchange.build,
            lambda: self._llm.completions(**params),
            exchange.pieces,
            usage=usage_in,
            refused=exchange.refused,
            enough=lambda: self.parsed,
        )
        self._open.append(stream)
        return stream

    def close(self) -> None:
        """Give back the grant of a stream that the parser has left: it stops at the closing fence."""
        for stream in self._open:
            stream.close()


class _Exchange:
    """One request of Open Interpreter, and the kernel's answer in the shape of litellm's chunks."""

    def __init__(self, llm: Any, params: dict[str, Any], *, split: bool) -> None:
        self._llm, self._split = llm, split
        self._request = request_of(params)
        self._writer: Any = None

    def build(self) -> LLMCall | None:
        """Translate the request."""
        call = self._request.build()
        return None if call is None else replace(call, agent=agent_of(self._llm.interpreter))

    def pieces(self, delta: Delta) -> Iterator[Any]:
        """Yield litellm's chunks."""
        make: Any = import_module("litellm.types.utils").ModelResponseStream
        if self._writer is None:
            self._writer = wire.EVENTS["/chat/completions"](self._request.call, {})
            yield from (make(**chunk) for chunk in self._writer.begin())
        for part in self._parts(delta):
            yield from (make(**chunk) for chunk in self._writer.feed(part))
        if delta.finish_reason is not None:
            yield from (make(**chunk) for chunk in self._writer.end())

    def _parts(self, delta: Delta) -> Iterator[Delta]:
        if not self._split:
            yield delta
            return
        for text in _PIECES.findall(delta.text):
            yield replace(delta, text=text, finish_reason=None)
        yield replace(delta, text="")

    def refused(self, error: Any) -> BaseException:
        """What litellm would raise."""
        return self._request.refused(error)


def text_llm(native: Function) -> Function:
    """Wrap `run_text_llm`."""

    def run_text_llm(llm: Any, params: Any) -> Iterator[Any]:
        yield from _gated(native, llm, params, split=True)

    return run_text_llm


def tool_llm(native: Function) -> Function:
    """Wrap `run_tool_calling_llm`."""

    def run_tool_calling_llm(llm: Any, request_params: Any) -> Iterator[Any]:
        yield from _gated(native, llm, request_params, split=False)

    return run_tool_calling_llm


def _gated(native: Function, llm: Any, params: Any, *, split: bool) -> Iterator[Any]:
    seen = _Llm(llm, split=split)
    try:
        yield from native(seen, params)
        seen.parsed = True
    finally:
        seen.close()
