"""From a request's body to a Call: chat, completions, responses and embeddings."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, cast

from aios_kernel.abi import ChatCall, CompletionCall, EmbeddingCall, LLMCall, Sampling
from aios_kernel.wire import responses_in

__all__ = ["PATHS", "build_call", "unsupported"]

Body = Mapping[str, Any]

#: Parameters a kernel core cannot honour, with the values at which they ask for nothing.
_NEUTRAL: dict[str, tuple[Any, ...]] = {
    "n": (None, 1),
    "best_of": (None, 1),
    "logprobs": (None, False, 0),
    "top_logprobs": (None, 0),
    "logit_bias": (None, {}),
    "suffix": (None, ""),
    "audio": (None,),
    "modalities": (None, ["text"]),
    "functions": (None, []),
    "function_call": (None,),
    "background": (None, False),
    "conversation": (None,),
    "previous_response_id": (None,),
}
_HANDLED = frozenset(
    {
        "messages", "tools", "tool_choice", "response_format", "parallel_tool_calls", "prompt", "echo", "input", "model",
        "stream", "temperature", "top_p", "top_k", "max_tokens", "max_completion_tokens", "max_output_tokens", "stop",
        "seed", "n", "dimensions", "instructions", "text", "encoding_format", "stream_options",
    }
)  # fmt: skip


def build_call(path: str, body: Body, endpoint: str, *, stream: bool) -> LLMCall:
    """Translate a body. Lenient: a call that is only leased need not be understood in full."""
    common: dict[str, Any] = {
        "model": str(body.get("model") or ""),
        "endpoint": endpoint,
        "stream": stream,
        "sampling": _sampling(body),
        "extra": {key: value for key, value in body.items() if key not in _HANDLED},
    }
    return _BUILDERS[path](body, common)


def unsupported(path: str, body: Body) -> str | None:
    """Name what a kernel core cannot do of what is asked; None when it can do all."""
    for name, neutral in _NEUTRAL.items():
        if body.get(name) not in neutral:
            return name
    if path == "/completions" and _text(body.get("prompt")) is None:
        return "prompt"
    return responses_in.unsupported(body) if path == "/responses" else None


def _sampling(body: Body) -> Sampling:
    stop = body.get("stop")
    most = (body.get(name) for name in ("max_completion_tokens", "max_tokens", "max_output_tokens"))
    return Sampling(
        temperature=body.get("temperature"),
        top_p=body.get("top_p"),
        top_k=body.get("top_k"),
        max_tokens=next((value for value in most if value is not None), None),
        stop=(stop,) if isinstance(stop, str) else tuple(stop or ()),
        seed=body.get("seed"),
        n=body.get("n") or 1,
    )


def _chat(body: Body, common: dict[str, Any]) -> ChatCall:
    return ChatCall(
        **common,
        messages=tuple(body.get("messages") or ()),
        tools=tuple(body.get("tools") or ()),
        tool_choice=body.get("tool_choice"),
        response_format=body.get("response_format"),
        parallel_tool_calls=body.get("parallel_tool_calls"),
    )


def _completion(body: Body, common: dict[str, Any]) -> CompletionCall:
    prompt = body.get("prompt")
    text = _text(prompt)
    return CompletionCall(**common, prompt=str(prompt) if text is None else text, echo=bool(body.get("echo")))


def _responses(body: Body, common: dict[str, Any]) -> ChatCall:
    return ChatCall(
        **common,
        messages=tuple(responses_in.messages(body)),
        tools=tuple(responses_in.tools(body)),
        tool_choice=responses_in.tool_choice(body),
        response_format=responses_in.response_format(body),
        parallel_tool_calls=body.get("parallel_tool_calls"),
    )


def _embedding(body: Body, common: dict[str, Any]) -> EmbeddingCall:
    given: Any = body.get("input") or ()
    one = isinstance(given, str) or isinstance(given[0] if given else None, int)
    inputs = (given,) if one else tuple(given)
    common["stream"] = False
    return EmbeddingCall(**common, inputs=inputs, dimensions=body.get("dimensions"))


def _text(prompt: Any) -> str | None:
    """A completion's prompt when it is one text; None for several and for token ids."""
    if prompt is None or isinstance(prompt, str):
        return prompt or ""
    if isinstance(prompt, Sequence):
        items = cast("Sequence[Any]", prompt)
        return items[0] if len(items) == 1 and isinstance(items[0], str) else None
    return None


_BUILDERS: dict[str, Callable[[Body, dict[str, Any]], LLMCall]] = {
    "/chat/completions": _chat,
    "/completions": _completion,
    "/responses": _responses,
    "/embeddings": _embedding,
}

#: The paths below the base URL that are calls to a model.
PATHS = frozenset(_BUILDERS)
