"""The sampler: greedy, or Gumbel-max with noise that is a function of (seed, position, token).

There is no generator and so no state: the same request gives the same tokens in whatever company it is served, and
nothing has to be saved when a sequence is put down.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

import torch

if TYPE_CHECKING:
    from collections.abc import Sequence as Many

    from aios_kernel.cores.torch.sequence import SamplingParams

__all__ = ["Sampler", "row_key"]

NEVER = float("-inf")
MASK64 = (1 << 64) - 1


def row_key(seed: int, position: int) -> tuple[int, int]:
    """Return two signed 32-bit keys for a seed and a position (the splitmix64 finaliser)."""
    x = (seed * 0x9E3779B97F4A7C15 + position * 0xD1B54A32D192ED03 + 0x632BE59BD9B4E019) & MASK64
    x = ((x ^ (x >> 30)) * 0xBF58476D1CE4E5B9) & MASK64
    x = ((x ^ (x >> 27)) * 0x94D049BB133111EB) & MASK64
    x ^= x >> 31
    return _signed(x & 0xFFFFFFFF), _signed(x >> 32)


def _signed(x: int) -> int:
    return x - (1 << 32) if x >= 1 << 31 else x


class Sampler:
    """Draw one token for each row of logits. Only the engine's thread calls it."""

    def __init__(self) -> None:
        self._tokens: torch.Tensor | None = None

    def sample(self, logits: torch.Tensor, params: Many[SamplingParams], positions: Many[int]) -> list[int]:
        """Return a token per row of `logits` (rows, vocabulary), which may be changed in place."""
        drawn = [i for i, p in enumerate(params) if p.temperature > 0]
        if not params:
            return []
        if len(drawn) == len(params):
            return self._draw(logits, params, positions)
        # max instead of argmax: several times faster on bf16.
        tokens = _ids(logits.max(dim=-1).indices)
        if drawn:
            some = self._draw(logits[drawn], [params[i] for i in drawn], [positions[i] for i in drawn])
            for i, token in zip(drawn, some, strict=True):
                tokens[i] = token
        return tokens

    def _draw(self, logits: torch.Tensor, params: Many[SamplingParams], positions: Many[int]) -> list[int]:
        heat = torch.tensor([p.temperature for p in params], device=logits.device)
        scores = logits.float() / heat[:, None]
        cut = [i for i, p in enumerate(params) if p.top_p < 1 or p.top_k > 0]
        if cut:
            scores[cut] = _cut(scores[cut], [params[i] for i in cut])
        keys = torch.tensor(
            [row_key(p.seed, at) for p, at in zip(params, positions, strict=True)],
            dtype=torch.int32,
            device=logits.device,
        )
        return _ids(scores.add_(self._gumbel(keys, logits.shape[1])).max(dim=-1).indices)

    def _gumbel(self, keys: torch.Tensor, vocabulary: int) -> torch.Tensor:
        """Return -log(-log u), u uniform from a hash of the row's two keys and the token (murmur3's finaliser)."""
        if self._tokens is None or len(self._tokens) != vocabulary or self._tokens.device != keys.device:
            # An odd multiplier spreads neighbouring tokens over all bits before the row's keys come in.
            spread = torch.arange(vocabulary, dtype=torch.int64, device=keys.device) * 0x9E3779B1 & 0xFFFFFFFF
            self._tokens = torch.where(spread >= 1 << 31, spread - (1 << 32), spread).to(torch.int32)
        x = self._tokens[None, :] ^ keys[:, :1]
        x ^= (x >> 16) & 0xFFFF
        x *= -2048144789  # 0x85EBCA6B
        x ^= (x >> 13) & 0x7FFFF
        x += keys[:, 1:]
        x *= -1028477387  # 0xC2B2AE35
        x ^= (x >> 16) & 0xFFFF
        x *= -2048144789
        x ^= (x >> 15) & 0x1FFFF
        u = (x & 0xFFFFFF).to(torch.float32).add_(0.5).mul_(2.0**-24)
        # 0.5 added to 2^24 - 1 rounds to 2^24 in float32, and log(1) would give an infinite noise.
        return u.clamp_(max=1 - 2.0**-24).log_().neg_().log_().neg_()


def _ids(tokens: torch.Tensor) -> list[int]:
    return cast("list[int]", tokens.tolist())


def _cut(scores: torch.Tensor, params: Many[SamplingParams]) -> torch.Tensor:
    """Set to -inf what top-k and top-p leave out; the likeliest token always stays."""
    ordered, where = scores.sort(dim=-1, descending=True)
    rank = torch.arange(scores.shape[1], device=scores.device)[None, :]
    top_k = torch.tensor([p.top_k or scores.shape[1] for p in params], device=scores.device)[:, None]
    top_p = torch.tensor([p.top_p for p in params], device=scores.device)[:, None]
    ordered = ordered.masked_fill(rank >= top_k, NEVER)
    share = ordered.softmax(dim=-1)
    # A token stays while those before it have not yet reached top_p.
    ordered.masked_fill_((share.cumsum(dim=-1) - share >= top_p) & (rank > 0), NEVER)
    return torch.full_like(scores, NEVER).scatter_(1, where, ordered)
