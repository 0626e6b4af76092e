"""Text contexts of endpoints: put a call down with what it has written, and have the endpoint go on from there later.

What is kept is the decoded text. An endpoint that can continue a message is sent the prompt again with the text so far
as the beginning of the reply. The call is put down between two words only, so that the text is cut into the same
tokens again; under greedy decoding the whole is then what it would have been.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, cast

from aios_kernel.abi import ChatCall, CompletionCall, Reply, Usage
from aios_kernel.errors import UnknownName

if TYPE_CHECKING:
    from aios_kernel.abi import LLMCall

__all__ = ["STYLES", "Written", "continuable", "continued", "style_of"]

Json = dict[str, Any]

#: How an endpoint is told to continue the last message of a chat: what is added to the message, and to the body.
STYLES: dict[str, tuple[Json, Json]] = {
    "vllm": ({}, {"continue_final_message": True, "add_generation_prompt": False}),  # also `aios serve`
    "anthropic": ({}, {}),  # a trailing message of the assistant's is continued ("prefill")
    "deepseek": ({"prefix": True}, {}),  # on the beta base URL
}


@dataclass(slots=True)
class Written:
    """What a call has written in its earlier turns, and in the present one."""

    text: str = ""
    tokens: int = 0
    turn: int = 0

    def added(self, text: str) -> None:
        """Count a piece; most servers send one token in each."""
        self.text += text
        self.tokens += 1
        self.turn += 1

    def whole(self, last: Reply) -> Reply:
        """The reply with what earlier turns wrote in front, and the usage that one turn would have had."""
        usage, before = last.usage, self.tokens - self.turn
        if not before:
            return last
        counted = Usage(
            input_tokens=max(0, usage.input_tokens - before),
            output_tokens=usage.output_tokens + before,
            cached_tokens=usage.cached_tokens,
        )
        return replace(last, text=self.text, usage=counted)


def style_of(name: str) -> tuple[Json, Json]:
    """Return a style by name; raises `UnknownName`."""
    if name not in STYLES:
        raise UnknownName("continuation", name, STYLES)
    return STYLES[name]


def continuable(call: LLMCall) -> bool:
    """Whether a call can be put down: text without a form. One that continues a message already stays as it is."""
    if call.sampling.n != 1 or call.extra.get("continue_final_message"):
        return False
    if isinstance(call, CompletionCall):
        return not call.echo
    if not isinstance(call, ChatCall) or call.tools or call.response_format:
        return False
    return not call.messages or call.messages[-1].get("role") != "assistant"


def continued(call: LLMCall, prepared: bytes, written: Written, style: tuple[Json, Json]) -> bytes:
    """Return the body that goes on after what is written."""
    body = cast("Json", json.loads(prepared))
    message, options = style
    if isinstance(call, CompletionCall):
        body["prompt"] = call.prompt + written.text
    else:
        begun = {"role": "assistant", "content": written.text, **message}
        body |= {"messages": [*body["messages"], begun], **options}
    if body.get("max_tokens") is not None:
        body["max_tokens"] = max(1, body["max_tokens"] - written.tokens)
    return json.dumps(body).encode()
