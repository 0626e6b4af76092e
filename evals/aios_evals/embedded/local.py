"""A small batched greedy decoder with constrained tool calls, for evaluating a model without a serving engine."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import torch

from aios_evals.embedded.client import Reply, Request
from aios_kernel.abi import ToolRequest
from aios_kernel.cores.torch.tools import ToolParser, detect


@dataclass
class LocalModel:
    """Answer requests in batches of like length; `constrained` holds tool calls to their schemas."""

    model: Any
    tokenizer: Any
    constrained: bool = True
    batch: int = 32
    longest: int = 96
    _guide: Any = field(default=None, init=False)

    def __post_init__(self) -> None:
        found = detect(self.tokenizer.chat_template)
        if found is None:
            raise ValueError("the chat template names no known format of tool calls")
        self._format = found

    def complete(self, requests: Sequence[Request]) -> list[Reply]:
        """Return one reply per request, in order."""
        prompts = [self._prompt(request) for request in requests]
        order = sorted(range(len(requests)), key=lambda i: len(prompts[i]))
        replies: dict[int, Reply] = {}
        for start in range(0, len(order), self.batch):
            part = order[start : start + self.batch]
            texts = self._decode([prompts[i] for i in part], [requests[i] for i in part])
            replies |= {i: self._reply(text, requests[i]) for i, text in zip(part, texts, strict=True)}
        return [replies[i] for i in range(len(requests))]

    def _prompt(self, request: Request) -> list[int]:
        text = self.tokenizer.apply_chat_template(
            request.messages, tools=request.tools or None, add_generation_prompt=True, tokenize=False
        )
        return list(self.tokenizer(text, add_special_tokens=False)["input_ids"])

    def _reply(self, text: str, request: Request) -> Reply:
        if not request.tools:
            return Reply(text, ())
        parser = ToolParser(self._format)
        (content, calls), (rest, more) = parser.push(text), parser.flush()
        return Reply((content + rest).strip(), tuple(call for one in [*calls, *more] if (call := _call(one))))

    def _matcher(self, request: Request) -> Any:
        if not (self.constrained and request.tools):
            return None
        import llguidance  # only needed when calls are constrained
        import llguidance.hf

        if self._guide is None:
            self._guide = llguidance.hf.from_tokenizer(self.tokenizer, n_vocab=self.model.config.vocab_size)
        grammar = self._format.grammar([tool["function"] for tool in request.tools], lambda _: None)
        return llguidance.LLMatcher(self._guide, llguidance.LLMatcher.grammar_from_lark(grammar))

    @torch.no_grad()
    def _decode(self, prompts: list[list[int]], requests: list[Request]) -> list[str]:
        width, end = max(map(len, prompts)), self.tokenizer.eos_token_id
        tokens = torch.tensor([[end] * (width - len(p)) + p for p in prompts])
        mask = torch.tensor([[0] * (width - len(p)) + [1] * len(p) for p in prompts])
        matchers = [self._matcher(request) for request in requests]
        output: list[list[int]] = [[] for _ in prompts]
        open_rows, cache, position = set(range(len(prompts))), None, mask.cumsum(1) - 1
        for _ in range(self.longest):
            step = self.model(
                input_ids=tokens,
                attention_mask=mask,
                position_ids=position.clamp(min=0),
                past_key_values=cache,
                use_cache=True,
                logits_to_keep=1,
            )
            cache, logits = step.past_key_values, step.logits[:, -1]
            for row in open_rows:
                _constrain(matchers[row], logits[row : row + 1])
            chosen = logits.argmax(-1)
            for row in sorted(open_rows):
                token = int(chosen[row])
                if token == end or (matchers[row] is not None and not matchers[row].consume_token(token)):
                    open_rows.discard(row)
                    continue
                output[row].append(token)
                if requests[row].stop and requests[row].stop in self.tokenizer.decode(output[row][-12:]):
                    open_rows.discard(row)
            if not open_rows:
                break
            tokens, position = chosen[:, None], position[:, -1:] + 1
            mask = torch.cat([mask, torch.ones(len(prompts), 1, dtype=mask.dtype)], 1)
        return [self.tokenizer.decode(row, skip_special_tokens=True) for row in output]


def _constrain(matcher: Any, logits: torch.Tensor) -> None:
    if matcher is None:
        return
    import llguidance.torch as guide

    bits = guide.allocate_token_bitmask(1, logits.shape[1])
    guide.fill_next_token_bitmask(matcher, bits)
    guide.apply_token_bitmask_inplace(logits, bits)


def _call(request: ToolRequest) -> tuple[str, dict[str, Any]] | None:
    try:
        arguments: Any = json.loads(request.arguments)
    except ValueError:
        return None
    return (request.name, cast("dict[str, Any]", arguments)) if isinstance(arguments, dict) else None


def load(base: Path, adapter: Path | None, *, constrained: bool = True) -> LocalModel:
    """Load the base model with a training checkpoint or an exported adapter folder merged into it."""
    import transformers

    from aios_evals.embedded.export import merge_checkpoint
    from aios_kernel.models import embedded

    auto: Any = transformers  # its classes are typed only in part
    tokenizer = auto.AutoTokenizer.from_pretrained(base)
    tokenizer.chat_template = embedded.chat_template()
    model = auto.AutoModelForCausalLM.from_pretrained(base, dtype=torch.bfloat16).eval()
    if adapter is not None and adapter.is_file():
        merge_checkpoint(model, adapter)
    elif adapter is not None:
        embedded.merge(model, adapter)
    return LocalModel(model, tokenizer, constrained)
