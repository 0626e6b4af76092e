"""From a call to a request the engine can run: tokens, limits, grammar. Runs in the caller's thread."""

from __future__ import annotations

import contextlib
import random
import threading
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from aios_kernel.abi import ChatCall, CompletionCall
from aios_kernel.cores.torch import chat
from aios_kernel.cores.torch.grammar import GrammarCompiler, json_rule
from aios_kernel.cores.torch.sequence import Prepared, SamplingParams
from aios_kernel.cores.torch.text import Detokeniser, TextStream
from aios_kernel.cores.torch.tools import FORMATS, ToolFormat, ToolParser, detect
from aios_kernel.errors import ContextTooLong, CoreError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from aios_kernel.abi import LLMCall, Sampling
    from aios_kernel.cores.torch.grammar import Constraint
    from aios_kernel.cores.torch.loading import Loaded
    from aios_kernel.cores.torch.pool import Geometry

__all__ = ["DEFAULT_MAX_TOKENS", "Preparer"]

#: Output of a call that names no maximum, in tokens: memory is reserved for it, so it cannot be the whole context.
DEFAULT_MAX_TOKENS = 512


class Preparer:
    """Check and translate calls for one model. Safe in any thread."""

    def __init__(self, loaded: Loaded, geometry: Geometry, budget: int, *, constrained: bool, name: str) -> None:
        self._tokenizer = loaded.tokenizer
        self._geometry, self._budget, self._name = geometry, budget, name
        self._constrained = constrained
        # A fast tokenizer changes its padding and truncation settings while it encodes.
        self._lock = threading.Lock()
        self._backend: Any = getattr(loaded.tokenizer, "backend_tokenizer", None)
        self._grammars = GrammarCompiler(loaded.tokenizer, loaded.vocabulary, loaded.eos)
        self._defaults = _defaults(loaded.model)
        self._gate: Any = getattr(loaded.model, "aios_gate", None)
        self._template = _template(loaded.tokenizer)
        self.format = detect(self._template)
        kept = {self._token_id(marker) for marker in (self.format.markers() if self.format else ())}
        self._skip = (_special(loaded.tokenizer) | set(loaded.eos)) - kept

    def warm_up(self) -> None:
        """Do now what the first call with tools or a schema would hold its thread up with."""
        if self._constrained:
            with contextlib.suppress(CoreError):  # without llguidance that call will be refused, and told why
                self._grammars.warm_up()

    def prepare(self, call: LLMCall) -> Prepared:
        """Return the request; raises ContextTooLong, and CoreError for what the model cannot do."""
        if call.sampling.n != 1:
            raise CoreError(f"n={call.sampling.n}: the torch core gives one reply a call; make {call.sampling.n} calls")
        if isinstance(call, ChatCall):
            return self._chat(call)
        if isinstance(call, CompletionCall):
            tokens = self.encode(call.prompt, special=True)
            return self._request(call, call.prompt, tokens, None, None)
        raise CoreError(f"the torch core serves chats and completions, not {call.operation!r}")

    def text_stream(self, request: Prepared) -> TextStream:
        """Return what turns the request's tokens into text."""
        return TextStream(Detokeniser(self._decode, self._skip), request.stop)

    def encode(self, text: str, *, special: bool) -> list[int]:
        """Return the tokens of a text, with the model's own begin-of-text token when `special`."""
        with self._lock:
            return list(self._tokenizer.encode(text, add_special_tokens=special))

    def _chat(self, call: ChatCall) -> Prepared:
        if not self._template:
            raise CoreError(
                f"model {self._name!r} has no chat template, so it cannot chat: use a model tuned for chat, set "
                f"tokenizer.chat_template, or send a completion instead"
            )
        shown = chat.functions(call.tools)
        callable_tools, required = chat.chosen_tools(shown, call.tool_choice)
        begun = chat.begun(call.messages, call.extra)
        messages = chat.messages_for(call.messages if begun is None else call.messages[:-1], self._template)
        form = self.format
        if callable_tools and "tools" not in self._template:
            messages, form = chat.with_tools_prompt(messages, shown), FORMATS[-1]
        options: dict[str, Any] = dict(call.extra.get("chat_template_kwargs") or {})
        if begun is None and call.extra.get("add_generation_prompt") is False:
            options.setdefault("add_generation_prompt", False)
        text = chat.render(self._tokenizer, messages, shown if callable_tools else [], options)
        constraint = self._constraint(call, form, callable_tools, required=required)
        if begun:  # after the generation prompt, where it stood when the model wrote it
            text += begun
            if constraint is not None:
                for token in self.encode(begun, special=False):
                    constraint.accept(token)
        parser = ToolParser(form or FORMATS[-1]) if callable_tools else None
        return self._request(call, text, self.encode(text, special=False), constraint, parser)

    def _constraint(
        self, call: ChatCall, form: ToolFormat | None, tools: list[dict[str, Any]], *, required: bool
    ) -> Constraint | None:
        answer = _answer_rule(call.response_format)
        if not self._constrained:
            return None
        if tools and form is not None:
            lark = form.grammar(
                tools,
                self._token_id,
                required=required,
                parallel=call.parallel_tool_calls is not False,
                answer=answer,
            )
            return self._grammars.compile(lark, "a tool's parameters, or the response format,")
        return None if answer is None else self._grammars.compile(f"start: {answer}", "the response format")

    def _request(
        self, call: LLMCall, prompt: str, tokens: list[int], constraint: Constraint | None, parser: ToolParser | None
    ) -> Prepared:
        if not tokens:
            raise CoreError("the prompt is empty: send at least one token")
        most = self._max_tokens(len(tokens), call.sampling.max_tokens)
        total = len(tokens) + most
        return Prepared(
            tokens=np.asarray(tokens, dtype=np.int64),
            max_tokens=most,
            capacity=self._geometry.capacity(total),
            kv_bytes=self._geometry.slot_bytes(total),
            sampling=self._sampling(call.sampling),
            stop=call.sampling.stop,
            constraint=constraint,
            parser=parser,
            echo=prompt if isinstance(call, CompletionCall) and call.echo else "",
            adapted=self._gate is None or self._gate.wants(prompt),
        )

    def _max_tokens(self, prompt: int, asked: int | None) -> int:
        """Output to allow; raises ContextTooLong when prompt and output can never fit, saying why."""
        if asked is not None and asked < 1:
            raise CoreError(f"max_tokens is {asked}: use 1 or more")
        context, memory = self._geometry.context, self._geometry.largest(self._budget)
        output = 1 if asked is None else asked
        said = f"the prompt has {prompt} tokens and the output may have {output}, {prompt + output} in all"
        if prompt + output > context:
            raise ContextTooLong(
                f"{said}; the context of {self._name!r} holds {context}: shorten the prompt or lower max_tokens"
            )
        if prompt + output > memory:
            raise ContextTooLong(
                f"{said}; the key/value memory of {self._budget / 2**20:.0f} MiB holds {memory} in one request: "
                f"shorten the prompt, lower max_tokens, or raise kv_memory"
            )
        return min(DEFAULT_MAX_TOKENS, context - prompt, memory - prompt) if asked is None else asked

    def _sampling(self, asked: Sampling) -> SamplingParams:
        temperature, top_p, top_k = self._defaults
        params = SamplingParams(
            temperature=temperature if asked.temperature is None else float(asked.temperature),
            top_p=top_p if asked.top_p is None else float(asked.top_p),
            top_k=top_k if asked.top_k is None else max(0, int(asked.top_k)),
            seed=random.getrandbits(63) if asked.seed is None else int(asked.seed),
        )
        if params.temperature < 0 or not 0 <= params.top_p <= 1:
            raise CoreError(
                f"temperature is {params.temperature} and top_p {params.top_p}: use a temperature of 0 or more and a "
                f"top_p from 0 to 1"
            )
        return params

    def _decode(self, tokens: list[int]) -> str:
        if self._backend is not None:
            return self._backend.decode(tokens, skip_special_tokens=False)
        return self._tokenizer.decode(tokens, skip_special_tokens=False, clean_up_tokenization_spaces=False)

    def _token_id(self, text: str) -> int | None:
        """The one token that a marker is, None when it is spelled out."""
        found = self._tokenizer.get_added_vocab().get(text)
        return None if found is None else int(found)


def _answer_rule(response_format: Mapping[str, Any] | None) -> str | None:
    """The grammar rule of a response format, None for free text; raises CoreError for one that is not understood."""
    kind = (response_format or {}).get("type", "text")
    if response_format is None or kind == "text":
        return None
    if kind == "json_object":
        return json_rule({"type": "object"})
    if kind != "json_schema":
        raise CoreError(f"response_format has the type {kind!r}: use 'text', 'json_object' or 'json_schema'")
    holder: Any = response_format.get("json_schema") or {}
    schema: Any = holder.get("schema")
    if not isinstance(schema, dict):
        raise CoreError(
            "response_format of type 'json_schema' has no schema: "
            'use {"type": "json_schema", "json_schema": {"name": ..., "schema": {...}}}'
        )
    return json_rule(cast("dict[str, Any]", schema))


def _defaults(model: Any) -> tuple[float, float, int]:
    """Temperature, top-p and top-k of a call that names none: what the model's makers say, else greedy."""
    config = getattr(model, "generation_config", None)
    if config is None or not getattr(config, "do_sample", False):
        return 0.0, 1.0, 0
    values = (getattr(config, name, None) for name in ("temperature", "top_p", "top_k"))
    temperature, top_p, top_k = values
    return (
        1.0 if temperature is None else float(temperature),
        1.0 if top_p is None else float(top_p),
        0 if top_k is None else int(top_k),
    )


def _special(tokenizer: Any) -> set[int]:
    """Tokens that are never text, unless a tool format says so."""
    added = getattr(tokenizer, "added_tokens_decoder", {})
    return set(getattr(tokenizer, "all_special_ids", ())) | {i for i, token in added.items() if token.special}


def _template(tokenizer: Any) -> str:
    template: Any = getattr(tokenizer, "chat_template", None)
    if isinstance(template, dict):
        named = cast("dict[str, str]", template)
        return named.get("tool_use") or named.get("default") or ""
    return template or ""
