"""A cheap look at a checkpoint: which held-out conversations would it follow word for word? (one forward pass, no decoding)."""

from __future__ import annotations

import argparse
import json
import sys
from collections import defaultdict
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from torch.nn import functional

from aios_evals.embedded import chat
from aios_evals.embedded.packed import PackedLlama
from aios_evals.embedded.render import Group, Segment, chat_segments, react_prefix, react_segments, tools_prefix
from aios_evals.embedded.tasks import KINDS, Task
from aios_evals.embedded.toolsets import Tool, shipped
from aios_evals.embedded.train import pack
from aios_evals.embedded.words import Source

MAKERS: dict[str, Callable[[Source], Task]] = {
    **{name: make for name, (make, _) in KINDS.items()},
    "talk": chat.small_talk,
    "no_tool": chat.beyond,
}


@torch.no_grad()
def wrong_turns(
    model: PackedLlama, tokenizer: Any, prefix: str, talks: Sequence[list[Segment]]
) -> list[list[tuple[str, str]]]:
    """Return, for each conversation, the learned turns that go wrong: (what was right, what the model prefers)."""
    packed = pack(tokenizer, Group(prefix, list(talks)))
    guess = functional.linear(model.hidden(packed), model.frozen["embed_tokens.weight"]).argmax(-1)
    out: list[list[tuple[str, str]]] = []
    at = 0
    for talk in talks:
        bad: list[tuple[str, str]] = []
        for text in (text for text, learned in talk if learned):
            size = len(tokenizer(text, add_special_tokens=False)["input_ids"])
            own, want = guess[at : at + size], packed.targets[at : at + size]
            if not torch.equal(own, want):
                bad.append((text, tokenizer.decode(own)))
            at += size
        out.append(bad)
    return out


def probe(
    model: PackedLlama, tokenizer: Any, count: int, seed: int, tools: Sequence[Tool]
) -> tuple[dict[str, dict[str, float]], list[Any]]:
    """Return the share of conversations without a wrong token by mode and kind, and the wrong ones."""
    shares: dict[str, dict[str, float]] = defaultdict(dict)
    wrong: list[Any] = []
    for mode in ("chat", "react"):
        s = Source(seed, test=True)
        prefix = tools_prefix("You are a helpful assistant.", tools) if mode == "chat" else react_prefix(tools)
        for name, make in MAKERS.items():
            tasks = [make(s) for _ in range(count)]
            talks = [chat_segments([task], tools) if mode == "chat" else react_segments(task, tools) for task in tasks]
            results = wrong_turns(model, tokenizer, prefix, talks)
            shares[mode][name] = round(sum(not bad for bad in results) / count, 2)
            wrong += [(mode, name, task.request, bad) for task, bad in zip(tasks, results, strict=True) if bad]
    return dict(shares), wrong


def main() -> None:
    """Probe a checkpoint."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--base", type=Path, required=True)
    parser.add_argument("--checkpoint", type=Path, required=True)
    parser.add_argument("--count", type=int, default=6)
    parser.add_argument("--seed", type=int, default=3)
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()
    import transformers

    torch.set_num_threads(options.threads)
    state = torch.load(options.checkpoint, weights_only=False)
    a = next(iter(state["adapter"].values()))
    layers = len({key.split("/")[1] for key in state["adapter"]})
    auto: Any = transformers  # its classes are typed only in part
    tokenizer = auto.AutoTokenizer.from_pretrained(options.base)
    model = PackedLlama(
        auto.AutoModelForCausalLM.from_pretrained(options.base, dtype=torch.bfloat16), layers, a.shape[0]
    )
    model.load_state_dict(state["adapter"])
    shares, wrong = probe(model, tokenizer, options.count, options.seed, shipped())
    for entry in wrong:
        sys.stdout.write(json.dumps(entry, ensure_ascii=False) + "\n")
    means = {mode: round(sum(kinds.values()) / len(kinds), 3) for mode, kinds in shares.items()}
    sys.stdout.write(json.dumps({"step": state["progress"][0], "mean": means, **shares}) + "\n")


if __name__ == "__main__":
    main()
