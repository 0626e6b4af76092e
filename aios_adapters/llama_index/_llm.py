"""Models: LlamaIndex's chat messages and prompts as a Call, a Reply as ChatResponse or CompletionResponse."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from typing import TYPE_CHECKING, Any

from aios_adapters._assembled import Assembled
from aios_adapters.llama_index._leaves import Exchange, backed_by
from aios_adapters.llama_index._messages import assistant, openai_message, openai_tool, tool_choice
from aios_kernel.abi import ChatCall, CompletionCall, LLMCall, Sampling, Usage

if TYPE_CHECKING:
    from aios_kernel.abi import Delta, Reply

__all__ = ["Chat", "Complete"]

Json = dict[str, Any]
_TYPES = "llama_index.core.base.llms.types"
_SDK = "llama_index.llms.openai"  # models of this package end in the openai SDK, whose own adapter makes the syscall
_STRUCTURED = "llama_index.core.llms.structured_llm"  # asks another model, whose calls are the syscalls
_URLS = ("api_base", "base_url", "api_url")
_SAMPLING = ("temperature", "top_p", "top_k", "max_tokens", "seed")
_TAKEN = frozenset({"tools", "tool_choice", "response_format", "parallel_tool_calls", "model", "stop", "formatted"})


class _Model(Exchange):
    """What chat and completion share."""

    def __init__(self, model: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any], *, stream: bool = False) -> None:
        super().__init__(model, args, kwargs, stream=stream)
        self.name = ""
        self.so_far = Assembled()

    @property
    def elsewhere(self) -> bool:
        return backed_by(self.model, _SDK) or backed_by(self.model, _STRUCTURED)

    def build(self) -> LLMCall | None:
        if self.elsewhere:
            return None
        options = dict(self.kwargs)
        names = ("messages", "prompt")
        given = self.args[0] if self.args else options.pop(next(name for name in names if name in options))
        call = self.request(given, options)
        self.name = call.model
        return call

    def request(self, given: Any, options: Json) -> LLMCall:
        """Make the Call of what the method was given."""
        raise NotImplementedError

    def common(self, options: Json) -> Json:
        """What every call to a model has: its name, its address, how it samples."""
        known = getattr(self.model.metadata, "model_name", "")
        name = options.get("model") or (known if known != "unknown" else "") or type(self.model).__name__
        urls = (getattr(self.model, attribute, None) for attribute in _URLS)
        stop = options.get("stop") or ()
        sampling = {key: _number(options.get(key, getattr(self.model, key, None))) for key in _SAMPLING}
        return {
            "model": str(name),
            "endpoint": next((url for url in urls if isinstance(url, str)), ""),
            "stream": self.stream,
            "sampling": Sampling(**sampling, stop=(stop,) if isinstance(stop, str) else tuple(stop)),
            "extra": {key: value for key, value in options.items() if key not in _TAKEN and key not in _SAMPLING},
        }

    def used(self, item: Any) -> Usage | None:
        """Read the usage, where the model tells it: beside the response, or in what the provider answered."""
        raw: Any = item.raw
        nested = raw.get("usage") if hasattr(raw, "keys") else getattr(raw, "usage", None)
        return _usage(item.additional_kwargs) or _usage(nested)

    def told_of(self, finish: str, usage: Usage | None) -> Json:
        """The fields of a response that say what it cost."""
        raw: Json = {"model": self.name, "finish_reason": finish}
        if usage is None:
            return {"raw": raw}
        counts = {
            "prompt_tokens": usage.input_tokens,
            "completion_tokens": usage.output_tokens,
            "total_tokens": usage.total_tokens,
        }
        return {"raw": {**raw, "usage": counts}, "additional_kwargs": dict(counts)}


class Chat(_Model):
    """One call of `chat`, `achat`, `stream_chat` or `astream_chat`."""

    callback = "llm_chat_callback"

    def request(self, given: Any, options: Json) -> ChatCall:
        """Translate messages and tools to the shape of chat completions."""
        form: Any = options.get("response_format")
        return ChatCall(
            **self.common(options),
            messages=tuple(openai_message(message) for message in given),
            tools=tuple(openai_tool(tool) for tool in options.get("tools") or ()),
            tool_choice=tool_choice(options.get("tool_choice")),
            response_format=form if hasattr(form, "keys") else None,
            parallel_tool_calls=options.get("parallel_tool_calls"),
        )

    def served(self, reply: Reply) -> Any:
        """Return a ChatResponse."""
        message = assistant(reply.text, reply.tool_calls)
        told = self.told_of(reply.finish_reason, reply.usage)
        return import_module(_TYPES).ChatResponse(message=message, **told)

    def piece(self, delta: Delta) -> Any:
        """Return a ChatResponse of everything so far; tool calls come with the last one, when they are whole."""
        self.so_far.add(delta)
        done = delta.finish_reason is not None
        message = assistant(self.so_far.text, self.so_far.calls if done else ())
        told = self.told_of(delta.finish_reason or "", delta.usage) if done else {}
        return import_module(_TYPES).ChatResponse(message=message, delta=delta.text, **told)


class Complete(_Model):
    """One call of `complete`, `acomplete`, `stream_complete` or `astream_complete`."""

    callback = "llm_completion_callback"

    def request(self, given: Any, options: Json) -> CompletionCall:
        """Translate the prompt."""
        return CompletionCall(**self.common(options), prompt=str(given))

    def served(self, reply: Reply) -> Any:
        """Return a CompletionResponse."""
        told = self.told_of(reply.finish_reason, reply.usage)
        return import_module(_TYPES).CompletionResponse(text=reply.text, **told)

    def piece(self, delta: Delta) -> Any:
        """Return a CompletionResponse of everything so far."""
        self.so_far.add(delta)
        told = self.told_of(delta.finish_reason, delta.usage) if delta.finish_reason is not None else {}
        return import_module(_TYPES).CompletionResponse(text=self.so_far.text, delta=delta.text, **told)


def _number(value: Any) -> Any:
    return value if isinstance(value, (int, float)) else None


def _usage(counts: Any) -> Usage | None:
    if not counts:
        return None
    known: Mapping[str, Any] = counts if hasattr(counts, "keys") else getattr(counts, "__dict__", {})
    given = known.get("prompt_tokens", known.get("input_tokens"))
    made = known.get("completion_tokens", known.get("output_tokens"))
    if not isinstance(given, int) and not isinstance(made, int):
        return None
    return Usage(input_tokens=given or 0, output_tokens=made or 0)
