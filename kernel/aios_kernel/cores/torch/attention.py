"""Attention over the slot pool, registered with transformers: the one place where a model meets our memory."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import torch
from torch.nn.functional import scaled_dot_product_attention

if TYPE_CHECKING:
    from aios_kernel.cores.torch.pool import Slab

__all__ = ["NAME", "Batch", "Chunk", "DecodeGroup", "register"]

NAME = "aios_slots"
NEVER = float("-inf")


@dataclass(slots=True, eq=False)
class DecodeGroup:
    """Sequences of one slab that get one token each: flat tokens [first, first + len(rows)).

    `rows` are slot rows in ascending order, `positions` where the token goes, `length` how many keys are read (padded,
    the same for all; the mask hides what is not theirs).
    """

    slab: Slab
    first: int
    rows: torch.Tensor
    positions: torch.Tensor
    length: int
    low: int
    span: int
    dense: bool
    masks: dict[int | None, torch.Tensor] = field(default_factory=dict[int | None, torch.Tensor])

    def mask(self, window: int | None, dtype: torch.dtype) -> torch.Tensor:
        """The additive mask (rows, 1, 1, length); rows between ours, which nobody reads, may see key 0."""
        if window not in self.masks:
            positions = self.positions
            if self.dense and self.span != len(self.rows):
                positions = torch.zeros(self.span, dtype=positions.dtype, device=positions.device)
                positions[self.rows - self.low] = self.positions
            at = positions[:, None]
            self.masks[window] = _additive(at, self.length, window, dtype)[:, None, None, :]
        return self.masks[window]


@dataclass(slots=True, eq=False)
class Chunk:
    """A piece of one prompt: flat tokens [first, first + count) at positions [start, start + count) of a slot."""

    slab: Slab
    row: int
    first: int
    count: int
    start: int
    length: int
    masks: dict[tuple[int, int | None], torch.Tensor] = field(default_factory=dict[Any, torch.Tensor])

    def mask(self, groups: int, window: int | None, like: torch.Tensor) -> torch.Tensor:
        """The additive causal mask (1, 1, groups * count, length): query heads of a group are stacked."""
        key = (groups, window)
        if key not in self.masks:
            at = torch.arange(self.start, self.start + self.count, device=like.device)[:, None]
            self.masks[key] = _additive(at, self.length, window, like.dtype).repeat(groups, 1)[None, None]
        return self.masks[key]


@dataclass(slots=True, eq=False)
class Batch:
    """What one forward pass covers: single tokens of many sequences first, then pieces of prompts."""

    groups: list[DecodeGroup]
    chunks: list[Chunk]


def _additive(at: torch.Tensor, length: int, window: int | None, dtype: torch.dtype) -> torch.Tensor:
    keys = torch.arange(length, device=at.device)[None, :]
    hidden = keys > at
    if window is not None:
        hidden |= keys <= at - window
    return torch.zeros(hidden.shape, dtype=dtype, device=at.device).masked_fill_(hidden, NEVER)


def register() -> None:
    """Make the function known to transformers. No mask function goes with it, so transformers builds no masks."""
    from transformers import AttentionInterface

    AttentionInterface.register(NAME, attend)


def attend(
    module: torch.nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,  # noqa: ARG001 - the interface's; always None
    scaling: float | None = None,
    **kwargs: Any,
) -> tuple[torch.Tensor, None]:
    """Store the new keys and values, then attend each sequence to its own slot.

    Shapes: query (1, heads, tokens, width), key and value (1, kv heads, tokens, width), tokens in the batch's flat
    order; returns (1, tokens, heads, value width).
    """
    batch: Batch | Probe = kwargs["aios_batch"]
    layer: int = module.layer_idx  # type: ignore[assignment]
    if isinstance(batch, Probe):
        batch.shapes[layer] = (key.shape[1], key.shape[3], value.shape[3])
        return query.new_zeros(1, query.shape[2], query.shape[1], value.shape[3]), None
    call = _Call(layer, query[0], key[0], value[0], scaling, kwargs)
    out = query.new_empty(query.shape[2], query.shape[1], value.shape[3])
    for group in batch.groups:
        call.decode(group, out)
    for chunk in batch.chunks:
        call.prefill(chunk, out)
    return out[None], None


@dataclass(slots=True)
class Probe:
    """Passed in place of a batch once, to learn the shape of each layer's keys and values."""

    shapes: dict[int, tuple[int, int, int]] = field(default_factory=dict[int, "tuple[int, int, int]"])


class _Call:
    """One layer's attention over a batch; heads come first in every tensor of `query`, `key` and `value`."""

    __slots__ = ("cap", "groups", "heads", "key", "layer", "query", "scaling", "sinks", "value", "window")

    def __init__(
        self,
        layer: int,
        query: torch.Tensor,
        key: torch.Tensor,
        value: torch.Tensor,
        scaling: float | None,
        kwargs: dict[str, Any],
    ) -> None:
        self.layer, self.query, self.key, self.value, self.scaling = layer, query, key, value, scaling
        self.heads = key.shape[0]
        self.groups = query.shape[0] // self.heads
        self.window: int | None = kwargs.get("sliding_window")
        self.cap: float | None = kwargs.get("softcap")
        self.sinks: torch.Tensor | None = kwargs.get("s_aux")

    def decode(self, group: DecodeGroup, out: torch.Tensor) -> None:
        """One new token per sequence: query heads that share a key head become that head's rows."""
        rows, first, last = group.rows, group.first, group.first + len(group.rows)
        keys, values = group.slab.keys[self.layer], group.slab.values[self.layer]
        keys[rows, :, group.positions] = self.key[:, first:last].transpose(0, 1)
        values[rows, :, group.positions] = self.value[:, first:last].transpose(0, 1)
        query = self.query[:, first:last].transpose(0, 1).reshape(len(rows), self.heads, self.groups, -1)
        if group.dense:
            keys = keys[group.low : group.low + group.span, :, : group.length]
            values = values[group.low : group.low + group.span, :, : group.length]
            if group.span != len(rows):
                query = query.new_zeros(group.span, *query.shape[1:]).index_copy_(0, rows - group.low, query)
        else:
            keys, values = keys[rows, :, : group.length], values[rows, :, : group.length]
        result = self._attend(query, keys, values, group.mask(self.window, query.dtype))
        if group.dense and group.span != len(rows):
            result = result[rows - group.low]
        out[first:last] = result.reshape(len(rows), self.heads * self.groups, -1)

    def prefill(self, chunk: Chunk, out: torch.Tensor) -> None:
        """A piece of a prompt attends to what its slot holds, itself included."""
        first, last, end = chunk.first, chunk.first + chunk.count, chunk.start + chunk.count
        keys, values = chunk.slab.keys[self.layer], chunk.slab.values[self.layer]
        keys[chunk.row, :, chunk.start : end] = self.key[:, first:last]
        values[chunk.row, :, chunk.start : end] = self.value[:, first:last]
        query = self.query[:, first:last].reshape(1, self.heads, self.groups * chunk.count, -1)
        length = slice(chunk.row, chunk.row + 1), slice(None), slice(chunk.length)
        result = self._attend(query, keys[length], values[length], chunk.mask(self.groups, self.window, query))
        out[first:last] = result.reshape(self.heads * self.groups, chunk.count, -1).transpose(0, 1)

    def _attend(
        self, query: torch.Tensor, keys: torch.Tensor, values: torch.Tensor, mask: torch.Tensor
    ) -> torch.Tensor:
        if self.cap is None and self.sinks is None:
            return scaled_dot_product_attention(query, keys, values, attn_mask=mask, scale=self.scaling)
        return self._explicit(query, keys, values, mask)

    def _explicit(
        self, query: torch.Tensor, keys: torch.Tensor, values: torch.Tensor, mask: torch.Tensor
    ) -> torch.Tensor:
        """Attention spelled out, for models that cap the scores or add a sink, which the fused kernel cannot do."""
        scale = query.shape[-1] ** -0.5 if self.scaling is None else self.scaling
        scores = torch.matmul(query, keys.transpose(2, 3)).float() * scale
        if self.cap is not None:
            scores = torch.tanh(scores / self.cap) * self.cap
        scores = scores + mask
        if self.sinks is not None:
            sinks = self.sinks.float().reshape(self.heads, self.groups, 1)
            sinks = sinks.expand(-1, -1, query.shape[2] // self.groups).reshape(1, self.heads, -1, 1)
            scores = torch.cat((scores, sinks.expand(scores.shape[0], -1, -1, -1)), dim=-1)
        weights = torch.softmax(scores, dim=-1)
        return torch.matmul(weights[..., : keys.shape[2]].to(values.dtype), values)
