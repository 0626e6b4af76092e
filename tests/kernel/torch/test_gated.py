"""An adapter behind a gate: requests that it is for and others share a batch, and each gets its own weights' tokens."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from aios_kernel import Kernel
from aios_kernel.models.gated import Gate, GatedLinear
from tests.kernel.torch import support

SHARED = "the quick brown fox jumps over the lazy dog, and the dog sleeps "
PROMPTS = [
    SHARED + "What is",
    SHARED + "USE What is",
    "lazy dog",
    "USE lazy dog",
    SHARED + "USE sunny",
    SHARED + "sunny",
]


def gated() -> Any:
    """The tiny model with another random weight behind a gate in every projection of its last layer."""
    made = support.model()
    made.aios_gate = Gate(["USE"])
    generator = torch.Generator().manual_seed(1)
    layer = made.model.layers[-1]
    for parent, name in ((layer.self_attn, "q_proj"), (layer.self_attn, "v_proj"), (layer.mlp, "up_proj")):
        base = getattr(parent, name)
        other = base.weight.detach() + 0.3 * torch.randn(base.weight.shape, generator=generator)
        setattr(parent, name, GatedLinear(base, other, made.aios_gate))
    return made


def alone(prompt: str, *, on: bool) -> str:
    """What transformers' own generate says with the gate open or shut for all."""
    made, words = gated(), support.tokenizer()
    made.aios_gate.on = on
    ids = torch.tensor([words.encode(prompt)])
    out = made.generate(ids, attention_mask=torch.ones_like(ids), max_new_tokens=12, do_sample=False, pad_token_id=0)
    return str(words.decode(out[0][ids.shape[1] :]))


@pytest.mark.parametrize("rounds", [1, 2], ids=["fresh", "with-kept-prefixes"])
def test_requests_of_both_kinds_share_a_batch_and_nothing_else(rounds: int) -> None:
    """Mixed requests with long common beginnings give what each kind gives alone, also from kept keys and values."""
    expected = [alone(prompt, on="USE" in prompt) for prompt in PROMPTS]
    assert alone(PROMPTS[0], on=True) != expected[0]  # the adapter makes a difference at all
    kernel = Kernel(llm=support.core(model=gated()))
    for _ in range(rounds):
        calls = [support.completion(prompt, 12) for prompt in PROMPTS]
        assert [reply.text for reply in support.together(kernel, calls)] == expected
    kernel.close()


def test_a_pass_of_one_kind_needs_no_mask() -> None:
    """A pass whose tokens all agree is one product, as without a gate."""
    gate = Gate(["USE"])
    gate.set([False, False])
    assert gate.on is False
    gate.set([True])
    assert gate.on is True
    gate.set([True, False])
    assert isinstance(gate.on, torch.Tensor)
