"""The executor: one forward pass of the model over rows of many sequences."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from itertools import groupby
from typing import TYPE_CHECKING, Any

import torch

from aios_kernel.cores.torch import attention
from aios_kernel.cores.torch.attention import Batch, Chunk, DecodeGroup, Probe
from aios_kernel.cores.torch.pool import ALIGN, Geometry, Pool

if TYPE_CHECKING:
    from collections.abc import Sequence as Many

    from aios_kernel.cores.torch.pool import Slab, Slot
    from aios_kernel.cores.torch.sequence import Sequence

__all__ = ["Executor", "Row"]

CHECKED = 24  # tokens
LIKENESS = 0.98  # bfloat16 alone leaves more than 0.999


@dataclass(slots=True, eq=False)
class Row:
    """The next `count` tokens of a sequence, to be computed in this pass."""

    sequence: Sequence
    count: int

    @property
    def slot(self) -> Slot:
        """Where the keys and values go."""
        slot = self.sequence.slot
        assert slot is not None, "a row was planned for a sequence without a slot"  # noqa: S101
        return slot

    @property
    def is_last(self) -> bool:
        """Whether the pass reaches the sequence's last token, so that its logits are wanted."""
        return self.count == self.sequence.pending


class Executor:
    """Run a transformers causal model on the slot pool. Only the engine's thread calls it.

    The model's attention implementation is switched while the executor lives; `close` switches it back.
    """

    def __init__(self, model: Any) -> None:
        self.model = model
        self.device: torch.device = model.device
        self._gate: Any = getattr(model, "aios_gate", None)
        attention.register()
        self._before: str = model.config._attn_implementation  # noqa: SLF001 - the public way has no getter
        model.set_attn_implementation(attention.NAME)

    def geometry(self, context: int) -> Geometry:
        """Learn the shape of every layer's keys and values from a pass over one token.

        Raises ValueError when the model's layers do not all call the attention function.
        """
        probe = Probe()
        self._forward([0], [0], [0], probe)
        layers = probe.shapes
        if not layers or sorted(layers) != list(range(len(layers))):
            message = "its layers do not go through transformers' attention interface"
            raise ValueError(message)
        return Geometry(tuple(layers[i] for i in range(len(layers))), self.model.dtype, self.device, context)

    def check(self, geometry: Geometry) -> None:
        """Compare a short text with transformers' own attention; raises ValueError when they disagree.

        So an architecture whose attention takes what we do not know of is refused, instead of served wrongly.
        """
        ids = [i % self.model.get_input_embeddings().num_embeddings for i in range(1, CHECKED + 1)]
        self.model.set_attn_implementation(self._before)
        try:
            with torch.inference_mode():
                expected = self.model(input_ids=torch.tensor([ids], device=self.device), use_cache=False).logits[0, -1]
        finally:
            self.model.set_attn_implementation(attention.NAME)
        pool = Pool(geometry, geometry.slot_bytes(CHECKED))
        slot = pool.allocate(geometry.capacity(CHECKED))
        assert slot is not None  # noqa: S101
        for start, count in ((0, 16), (16, 7), (23, 1)):
            got = self._forward(
                ids[start : start + count],
                list(range(start, start + count)),
                [count - 1],
                self._batch_at(slot, start, count),
            )[0]
        likeness = torch.cosine_similarity(expected.float(), got.float(), dim=0).item()
        if likeness < LIKENESS:
            raise ValueError(f"its results differ from transformers' own (similarity {likeness:.3f})")

    def run(self, rows: Many[Row]) -> torch.Tensor:
        """Compute the rows; return logits (rows whose `is_last`, vocabulary) in the order of `ordered(rows)`."""
        ids: list[int] = []
        positions: list[int] = []
        wanted: list[int] = []
        for row in rows:
            sequence = row.sequence
            end = sequence.computed + row.count
            ids.extend(sequence.tokens[sequence.computed : end].tolist())
            positions.extend(range(sequence.computed, end))
            if row.is_last:
                wanted.append(len(ids) - 1)
        if self._gate is not None:
            self._gate.set([row.sequence.request.adapted for row in rows for _ in range(row.count)])
        return self._forward(ids, positions, wanted, self._batch(rows))

    @staticmethod
    def ordered(rows: list[Row]) -> list[Row]:
        """Return the rows as the batch needs them: single tokens by slab and row, then pieces of prompts."""
        single = sorted((r for r in rows if r.count == 1), key=lambda r: (r.slot.slab.number, r.slot.row))
        return single + [r for r in rows if r.count > 1]

    def close(self) -> None:
        """Give the model its own attention back."""
        with contextlib.suppress(Exception):
            self.model.set_attn_implementation(self._before)

    def _forward(self, ids: list[int], positions: list[int], wanted: list[int], batch: Batch | Probe) -> torch.Tensor:
        device = self.device
        with torch.inference_mode():
            output = self.model(
                input_ids=torch.tensor([ids], device=device),
                position_ids=torch.tensor([positions], device=device),
                use_cache=False,
                logits_to_keep=torch.tensor(wanted, device=device, dtype=torch.long),
                aios_batch=batch,
            )
        return output.logits[0]

    def _batch_at(self, slot: Slot, start: int, count: int) -> Batch:
        """One sequence's batch, without a sequence."""
        if count == 1:
            return Batch([self._group(slot.slab, [slot.row], [start], 0)], [])
        length = min(_padded(start + count), slot.capacity)
        return Batch([], [Chunk(slot.slab, slot.row, 0, count, start, length)])

    def _batch(self, rows: Many[Row]) -> Batch:
        groups: list[DecodeGroup] = []
        chunks: list[Chunk] = []
        first = 0
        singles = [row for row in rows if row.count == 1]
        for slab, members in groupby(singles, key=lambda row: row.slot.slab):
            some = list(members)
            places, positions = [r.slot.row for r in some], [r.sequence.computed for r in some]
            groups.append(self._group(slab, places, positions, first))
            first += len(some)
        for row in rows[len(singles) :]:
            start = row.sequence.computed
            length = min(_padded(start + row.count), row.slot.capacity)
            chunks.append(Chunk(row.slot.slab, row.slot.row, first, row.count, start, length))
            first += row.count
        return Batch(groups, chunks)

    def _group(self, slab: Slab, places: list[int], positions: list[int], first: int) -> DecodeGroup:
        low, span = places[0], places[-1] - places[0] + 1
        return DecodeGroup(
            slab,
            first,
            torch.tensor(places, device=self.device),
            torch.tensor(positions, device=self.device),
            min(_padded(max(positions) + 1), slab.capacity),
            low,
            span,
            # Reading a few rows that nobody needs is cheaper than copying the keys of those that are needed.
            dense=span < 2 * len(places),
        )


def _padded(length: int) -> int:
    return -(-length // ALIGN) * ALIGN
