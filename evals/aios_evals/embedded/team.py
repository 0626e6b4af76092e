"""Several single-threaded workers that take every step together: on a busy machine two threads wait for each other all the time.

Each worker reads groups of its own; gradients are averaged once a step, so all hold the same adapter.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch import distributed as dist


class Team:
    """This worker's place among the others; alone it does nothing."""

    def __init__(self, rank: int, size: int, meeting: str) -> None:
        self.rank, self.size = rank, size
        if size > 1:
            dist.init_process_group("gloo", init_method=f"file://{meeting}", rank=rank, world_size=size)

    def average(self, parameters: Sequence[Tensor], facts: Sequence[float]) -> list[float]:
        """Average the gradients in place, and return the sums of the workers' facts."""
        if self.size == 1:
            return list(facts)
        grads = [p.grad if p.grad is not None else torch.zeros_like(p) for p in parameters]
        flat = torch.cat([*(grad.flatten() for grad in grads), torch.tensor(list(facts))])
        dist.all_reduce(flat)
        at = 0
        for parameter, grad in zip(parameters, grads, strict=True):
            parameter.grad = (flat[at : at + grad.numel()] / self.size).view_as(grad)
            at += grad.numel()
        sums: Any = flat[at:]
        return sums.tolist()
