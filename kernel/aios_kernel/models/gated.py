"""An adapter that is in force only for the requests it was trained for: plain chat keeps the base model's own weights.

Both weights of an adapted layer are kept and every token goes through one of them, so requests of both kinds share a batch
and neither pays for the other. Imports torch: import this module only where a model is loaded.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import nn
from torch.nn import functional

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["Gate", "GatedLinear"]


class Gate:
    """Say which requests, and in a pass which tokens, go through the adapter.

    `markers` are texts of which a prompt for the adapter holds at least one. `on` is True, False, or a boolean tensor over
    the tokens of the pass; whoever runs the pass sets it before.
    """

    def __init__(self, markers: Sequence[str]) -> None:
        self.markers = tuple(markers)
        self.on: bool | torch.Tensor = True

    def wants(self, prompt: str) -> bool:
        """Whether a request with this prompt goes through the adapter."""
        return any(marker in prompt for marker in self.markers)

    def set(self, flags: Sequence[bool]) -> None:
        """Set the pass's tokens, in order."""
        some = any(flags)
        self.on = some if some == all(flags) else torch.tensor(flags, dtype=torch.bool)


class GatedLinear(nn.Module):
    """A linear layer with two weights of one shape, chosen token by token; `x` is (1, tokens, width) or any, if all agree."""

    def __init__(self, base: nn.Linear, adapted: torch.Tensor, gate: Gate) -> None:
        super().__init__()
        self.base, self.gate = base, gate
        self.adapted = nn.Parameter(adapted, requires_grad=False)

    def forward(self, x: torch.Tensor) -> Any:
        """Apply to each token the weight it is for."""
        on = self.gate.on
        if isinstance(on, torch.Tensor):
            return self._mixed(x, on.to(x.device))
        return functional.linear(x, self.adapted, self.base.bias) if on else self.base(x)

    def _mixed(self, x: torch.Tensor, on: torch.Tensor) -> torch.Tensor:
        out = x.new_empty(*x.shape[:-1], self.base.out_features)
        out[:, on] = functional.linear(x[:, on], self.adapted, self.base.bias)
        out[:, ~on] = self.base(x[:, ~on])
        return out
