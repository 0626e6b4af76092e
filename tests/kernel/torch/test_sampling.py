"""The sampler: a function of seed, position and logits, and of nothing else."""

from __future__ import annotations

import torch

from aios_kernel.cores.torch.sampling import Sampler, row_key
from aios_kernel.cores.torch.sequence import SamplingParams

LOGITS = torch.tensor([2.0, 1.0, 0.0, -1.0, 0.5])


def draw(params: SamplingParams, positions: range, logits: torch.Tensor = LOGITS) -> list[int]:
    return Sampler().sample(logits.repeat(len(positions), 1), [params] * len(positions), list(positions))


def test_draws_follow_the_distribution() -> None:
    """Over many positions and seeds the frequencies are those of the softmax, at two temperatures."""
    for heat in (1.0, 0.5):
        counts = torch.zeros(5)
        for seed in range(10):
            drawn = draw(SamplingParams(temperature=heat, seed=seed), range(2000))
            counts += torch.bincount(torch.tensor(drawn), minlength=5)
        expected = torch.softmax(LOGITS / heat, dim=0)
        assert torch.allclose(counts / counts.sum(), expected, atol=0.015)


def test_neighbouring_seeds_and_positions_are_independent() -> None:
    """Pairs of draws at neighbouring positions, and under neighbouring seeds, fall on all combinations alike."""
    flat = torch.zeros(4)
    one = torch.tensor(draw(SamplingParams(temperature=1, seed=1), range(8001), flat))
    two = torch.tensor(draw(SamplingParams(temperature=1, seed=2), range(8001), flat))
    for pairs in (one[:-1] * 4 + one[1:], one * 4 + two):
        share = torch.bincount(pairs, minlength=16) / len(pairs)
        assert float((share - 1 / 16).abs().max()) < 0.015


def test_same_draw_in_any_company() -> None:
    """A row's token does not depend on which rows are beside it, or where it stands among them."""
    rows = torch.randn(7, 300, generator=torch.Generator().manual_seed(1))
    params = [SamplingParams(temperature=0.9, top_p=0.8 if i % 2 else 1.0, seed=i) for i in range(7)]
    together = Sampler().sample(rows.clone(), params, list(range(7)))
    alone = [Sampler().sample(rows[i : i + 1].clone(), [params[i]], [i])[0] for i in range(7)]
    assert together == alone


def test_greedy_and_drawn_rows_mix() -> None:
    """Temperature 0 takes the likeliest token, also beside rows that are drawn."""
    rows = LOGITS.repeat(3, 1)
    params = [SamplingParams(), SamplingParams(temperature=5.0, seed=3), SamplingParams()]
    tokens = Sampler().sample(rows, params, [0, 0, 0])
    assert tokens[0] == tokens[2] == 0


def test_top_k_and_top_p_leave_out_the_rest() -> None:
    """Only the likeliest k, or the smallest set that reaches p, can be drawn; the likeliest always can."""
    drawn = {
        "k": set(draw(SamplingParams(temperature=3, top_k=2, seed=1), range(400))),
        "p": set(draw(SamplingParams(temperature=1, top_p=0.7, seed=1), range(400))),
        "none": set(draw(SamplingParams(temperature=9, top_p=0.0, seed=1), range(100))),
    }
    assert drawn == {"k": {0, 1}, "p": {0, 1}, "none": {0}}


def test_keys_are_32_bits_and_differ() -> None:
    """Seeds and positions give distinct keys within int32, for negative and huge seeds too."""
    keys = {row_key(seed, at) for seed in (-5, 0, 1, 2**62, 2**63) for at in range(200)}
    assert len(keys) > 990
    assert all(-(2**31) <= part < 2**31 for key in keys for part in key)
