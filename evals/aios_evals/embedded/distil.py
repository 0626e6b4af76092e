"""Ask the unchanged model some hundred plain questions once, so that training can hold on to its own answers."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch

from aios_evals.embedded import chat
from aios_evals.embedded.render import DEFAULT_SYSTEM, turn
from aios_evals.embedded.words import Source

Plain = tuple[str | None, str, str]  # system prompt, prompt, the model's own greedy answer


def load_or_make(path: Path, model: Any, tokenizer: Any, count: int, seed: int) -> list[Plain]:
    """Return the distilled answers, made once and kept in `path`."""
    if path.exists():
        return [tuple(entry) for entry in json.loads(path.read_text(encoding="utf-8"))]
    s = Source(seed)
    seen = {(s.pick(chat.SYSTEMS), chat.prompt(s)) for _ in range(count)}
    asked = sorted(seen, key=lambda one: len(one[1]))
    entries: list[Plain] = []
    for start in range(0, len(asked), 128):
        part = asked[start : start + 128]
        texts = answer(
            model,
            tokenizer,
            [turn("system", DEFAULT_SYSTEM if system is None else system) + turn("user", p) for system, p in part],
        )
        entries += [(system, p, text) for (system, p), text in zip(part, texts, strict=True) if text]
    path.write_text(json.dumps(entries, ensure_ascii=False, indent=0), encoding="utf-8")
    return entries


@torch.no_grad()
def answer(model: Any, tokenizer: Any, prompts: list[str], longest: int = 44) -> list[str]:
    """Return greedy answers; an answer that runs too long ends after its last full sentence."""
    tokenizer.padding_side = "left"
    batch = tokenizer(
        [p + "<|im_start|>assistant\n" for p in prompts], add_special_tokens=False, return_tensors="pt", padding=True
    )
    out = model.generate(**batch, max_new_tokens=longest, do_sample=False, pad_token_id=tokenizer.pad_token_id)
    texts: list[str] = []
    for row in out[:, batch["input_ids"].shape[1] :].tolist():
        whole = tokenizer.eos_token_id in row
        text: str = tokenizer.decode(row, skip_special_tokens=True).strip()
        if not whole:
            text = text[: max(text.rfind(mark) for mark in ".!?") + 1]
        texts.append(text)
    return texts
