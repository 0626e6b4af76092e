"""Text completion models: `LLM._call` for one prompt, `BaseLLM._generate` for what is not built on it."""

from __future__ import annotations

from collections.abc import Iterator
from importlib import import_module
from typing import TYPE_CHECKING, Any

from aios_adapters.langchain._leaves import Exchange, common
from aios_kernel.abi import CompletionCall, LLMCall, Usage

if TYPE_CHECKING:
    from aios_kernel.abi import Delta, Reply

__all__ = ["Prompt", "Prompts", "Stream"]

Json = dict[str, Any]


class Prompt(Exchange):
    """One call of `LLM._call` or `_acall`: a prompt in, a text out."""

    def request(self, model: Any, given: Any, stop: Any, options: Json) -> LLMCall | None:
        """Translate the prompt."""
        return CompletionCall(**common(model, stop, options, stream=self.stream), prompt=given, extra=options)

    def served(self, reply: Reply) -> Any:
        """Return the text."""
        return reply.text


class Stream(Prompt):
    """One call of `_stream` or `_astream`."""

    def pieces(self, delta: Delta) -> Iterator[Any]:
        """Yield a GenerationChunk."""
        end = None if delta.finish_reason is None else {"finish_reason": delta.finish_reason}
        yield import_module("langchain_core.outputs").GenerationChunk(text=delta.text, generation_info=end)


class Prompts(Exchange):
    """One call of `BaseLLM._generate` or `_agenerate`."""

    def request(self, model: Any, given: Any, stop: Any, options: Json) -> LLMCall | None:
        """Translate one prompt. Several in one request have no Call a core could serve: they are leased together."""
        llm: Any = import_module("langchain_core.language_models.llms").LLM
        kind = model.__class__
        if kind._generate is llm._generate and kind._agenerate is llm._agenerate:
            return None  # they call `_call` and `_acall` for each prompt: there the leaf is
        parts = common(model, stop, options, stream=False)
        if len(given) == 1:
            return CompletionCall(**parts, prompt=given[0], extra=options)
        return LLMCall(**parts, extra={**options, "prompts": list(given)})

    def served(self, reply: Reply) -> Any:
        """Return an LLMResult."""
        usage, outputs = reply.usage, import_module("langchain_core.outputs")
        output = {
            "model_name": self.named(reply),
            "token_usage": {
                "prompt_tokens": usage.input_tokens,
                "completion_tokens": usage.output_tokens,
                "total_tokens": usage.total_tokens,
            },
        }
        generation = outputs.Generation(text=reply.text, generation_info={"finish_reason": reply.finish_reason})
        return outputs.LLMResult(generations=[[generation]], llm_output=output)

    def used(self, item: Any) -> Usage | None:
        """Read the usage, where the model tells it."""
        output: Any = item.llm_output
        counts = output.get("token_usage") if output else None
        if not counts:
            return None
        return Usage(input_tokens=counts.get("prompt_tokens") or 0, output_tokens=counts.get("completion_tokens") or 0)
