"""Measure the torch core against transformers on the same model, requests and machine, in one run.

    python benchmarks/torch_core.py [--json FILE] [--requests 64] [--new-tokens 64] [--repeats 3] [--dtype bfloat16]

The model is a random Llama of about 135M parameters, so no weights are needed. Every request has its own prompt length
and number of new tokens (equal ones would flatter padded batches); prompts share their first half. All are greedy, and
each engine's tokens are compared with those of one-at-a-time `generate`. The engines take turns, so that a machine that
slows down slows all of them. Output tokens per second; a ratio is against one at a time.
"""

from __future__ import annotations

import argparse
import copy
import json
import os
import platform
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

# A waiting thread that spins would take the core from whatever else runs on this machine; for every engine alike.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import torch
import transformers
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import GenerationConfig, LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from aios_kernel import Agent, CompletionCall, Kernel, Sampling
from aios_kernel.cores.torch import TorchCore

VOCABULARY = 49152


@dataclass(frozen=True)
class Request:
    """One prompt and how many tokens to make of it."""

    prompt: list[int]
    new_tokens: int


Tokens = list[list[int]]
Engine = Callable[[list[Request]], Tokens]


def make_model(dtype: torch.dtype, *, small: bool) -> Any:
    """A random Llama in SmolLM2-135M's shape, or a tiny one."""
    torch.manual_seed(0)
    shape = {"hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 2} if small else {
        "hidden_size": 576, "intermediate_size": 1536, "num_hidden_layers": 30
    }  # fmt: skip
    heads = {"num_attention_heads": 4, "num_key_value_heads": 2} if small else {
        "num_attention_heads": 9, "num_key_value_heads": 3
    }  # fmt: skip
    config = LlamaConfig(
        vocab_size=VOCABULARY, max_position_embeddings=4096, tie_word_embeddings=True, initializer_range=0.05,
        eos_token_id=None, bos_token_id=None, pad_token_id=None, **shape, **heads,
    )  # fmt: skip
    return LlamaForCausalLM(config).to(dtype).eval()


def make_tokenizer() -> Any:
    """Words t0, t1, ...: text and tokens are one to one, so replies can be compared token by token."""
    inner = Tokenizer(models.WordLevel({f"t{i}": i for i in range(VOCABULARY)}, unk_token="t0"))
    inner.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    return PreTrainedTokenizerFast(tokenizer_object=inner)


def make_requests(count: int, prompt: int, new_tokens: int) -> list[Request]:
    """`prompt` and `new_tokens` on average, from half as much to half as much again; the first half of prompts shared."""
    random = torch.Generator().manual_seed(1)
    shared = torch.randint(VOCABULARY, (prompt // 2,), generator=random).tolist()

    def around(size: int) -> int:
        return int(torch.randint(max(1, size // 2), size + size // 2 + 1, (1,), generator=random))

    return [
        Request(
            shared + torch.randint(VOCABULARY, (around(prompt - prompt // 2),), generator=random).tolist(),
            around(new_tokens),
        )
        for _ in range(count)
    ]


# The engines --------------------------------------------------------------------------------------------------------


def padded(model: Any, batch: int) -> Engine:
    """Transformers' generate over batches padded on the left; a batch runs until its longest is done."""

    def run(requests: list[Request]) -> Tokens:
        tokens: Tokens = []
        for at in range(0, len(requests), batch):
            some = requests[at : at + batch]
            width = max(len(r.prompt) for r in some)
            ids = torch.zeros(len(some), width, dtype=torch.long)
            mask = torch.zeros_like(ids)
            for row, request in enumerate(some):
                ids[row, width - len(request.prompt) :] = torch.tensor(request.prompt)
                mask[row, width - len(request.prompt) :] = 1
            most = max(r.new_tokens for r in some)
            out = model.generate(
                input_ids=ids, attention_mask=mask, max_new_tokens=most, do_sample=False, pad_token_id=0
            )
            tokens += [out[row, width : width + r.new_tokens].tolist() for row, r in enumerate(some)]
        return tokens

    return run


def transformers_continuous(model: Any) -> Engine:
    """Transformers' own continuous batching, with its defaults."""

    def run(requests: list[Request]) -> Tokens:
        config = GenerationConfig(do_sample=False, eos_token_id=-1, pad_token_id=0, max_new_tokens=64)
        found: dict[str, list[int]] = {}
        with model.continuous_batching_context_manager(generation_config=config, block=True, timeout=5) as manager:
            names = [manager.add_request(r.prompt, max_new_tokens=r.new_tokens) for r in requests]
            while len(found) < len(requests):
                result = manager.get_result(timeout=60)
                if result is None or result.error:
                    raise RuntimeError(f"transformers' continuous batching failed: {result and result.error}")
                if result.is_finished():
                    found[result.request_id] = list(result.generated_tokens)
        return [found[name] for name in names]

    return run


class Ours:
    """The torch core behind a kernel's gate, one agent per request, all at once."""

    def __init__(self, model: Any, **options: Any) -> None:
        self.core = TorchCore(model, make_tokenizer(), **options)
        self.kernel = Kernel(llm=self.core)
        self.core.load()

    def __call__(self, requests: list[Request]) -> Tokens:
        grants = [self._start(index, request) for index, request in enumerate(requests)]
        return [[int(word[1:]) for word in grant.reply().text.split()] for grant in grants]

    def _start(self, index: int, request: Request) -> Any:
        call = CompletionCall(
            prompt=" ".join(f"t{token}" for token in request.prompt),
            agent=Agent(name=f"agent-{index}"),
            sampling=Sampling(max_tokens=request.new_tokens, temperature=0),
        )
        with self.kernel.syscall(call) as grant:
            return grant.keep()

    def forget(self) -> None:
        """Empty the prefix cache, so that every repeat begins alike."""
        self.core.forget()

    def close(self) -> None:
        """Stop the kernel."""
        self.kernel.close()


# The measurement ----------------------------------------------------------------------------------------------------


def measure(engines: dict[str, Engine], requests: list[Request], repeats: int) -> list[dict[str, Any]]:
    """Let the engines take turns; return a row for each, the first being what the others are compared with."""
    total = sum(r.new_tokens for r in requests)
    seconds: dict[str, list[float]] = {name: [] for name in engines}
    tokens: dict[str, Tokens] = {}
    for _ in range(repeats):
        for name, engine in engines.items():
            if isinstance(engine, Ours):
                engine.forget()
            start = time.perf_counter()
            tokens[name] = engine(requests)
            seconds[name].append(time.perf_counter() - start)
            print(f"  {name}: {total / seconds[name][-1]:.1f} tok/s", flush=True)
    first = next(iter(engines))
    base = total / statistics.median(seconds[first])
    return [
        {
            "engine": name,
            "tokens_per_second": round(total / statistics.median(times), 2),
            "best": round(total / min(times), 2),
            "ratio": round(total / statistics.median(times) / base, 2),
            "equal_tokens": round(equal(tokens[name], tokens[first]), 4),
        }
        for name, times in seconds.items()
    ]


def equal(some: Tokens, others: Tokens) -> float:
    """Fraction of tokens that are the same at the same place."""
    same = sum(a == b for one, other in zip(some, others, strict=True) for a, b in zip(one, other, strict=False))
    return same / sum(len(one) for one in others)


def main() -> None:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path, help="write the results here")
    parser.add_argument("--requests", type=int, default=64)
    parser.add_argument("--prompt", type=int, default=256, help="prompt tokens on average")
    parser.add_argument("--new-tokens", type=int, default=64, help="new tokens on average")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--dtype", default="bfloat16", choices=["bfloat16", "float32"])
    parser.add_argument("--small", action="store_true", help="a tiny model, to see that everything runs")
    parser.add_argument("--only", nargs="*", default=[], help="engines whose name contains one of these")
    options = parser.parse_args()

    model = make_model(getattr(torch, options.dtype), small=options.small)
    requests = make_requests(options.requests, options.prompt, options.new_tokens)
    ours, apart = Ours(copy.deepcopy(model)), Ours(copy.deepcopy(model), prefix_sharing=False)
    engines: dict[str, Engine] = {
        "generate, one at a time": padded(model, 1),
        "generate, padded 8": padded(model, 8),
        "generate, padded 16": padded(model, 16),
        "generate, padded 64": padded(model, 64),
        "transformers continuous": transformers_continuous(copy.deepcopy(model)),
        "torch core, no sharing": apart,
        "torch core": ours,
    }
    chosen = {n: e for n, e in engines.items() if not options.only or any(part in n for part in options.only)}
    rows = measure(chosen, requests, options.repeats)
    about = {
        "machine": f"{platform.machine()}, {os.cpu_count()} CPUs, {torch.get_num_threads()} threads",
        "torch": torch.__version__,
        "transformers": transformers.__version__,
        "parameters": sum(p.numel() for p in model.parameters()),
        **{key: value for key, value in vars(options).items() if key not in {"json", "only"}},
    }
    print(f"\n{'engine':28}{'tok/s':>10}{'best':>10}{'ratio':>8}{'equal':>8}")
    for row in rows:
        print(
            f"{row['engine']:28}{row['tokens_per_second']:10.1f}{row['best']:10.1f}{row['ratio']:8.2f}"
            f"{row['equal_tokens']:8.2%}"
        )
    if options.json:
        options.json.write_text(json.dumps({"about": about, "results": rows}, indent=2) + "\n", encoding="utf-8")
    for engine in (ours, apart):
        engine.close()


if __name__ == "__main__":
    main()
