"""A sequence: one request on its way through the engine, everything that must move when it is put down."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from aios_kernel.cores.torch.grammar import Constraint
    from aios_kernel.cores.torch.pool import Slot
    from aios_kernel.cores.torch.text import TextStream
    from aios_kernel.cores.torch.tools import ToolParser
    from aios_kernel.serving import Job

__all__ = ["Prepared", "SamplingParams", "Sequence"]


@dataclass(frozen=True, slots=True, kw_only=True)
class SamplingParams:
    """How the tokens of one request are drawn; temperature 0 is greedy, top_p 1 and top_k 0 keep everything."""

    temperature: float = 0.0
    top_p: float = 1.0
    top_k: int = 0
    seed: int = 0


@dataclass(slots=True, kw_only=True, eq=False)
class Prepared:
    """A call checked and translated: tokens, limits and what watches over its text. Made in the caller's thread."""

    tokens: NDArray[np.int64]
    max_tokens: int
    capacity: int
    kv_bytes: int
    sampling: SamplingParams
    stop: tuple[str, ...] = ()
    constraint: Constraint | None = None
    parser: ToolParser | None = None
    echo: str = ""
    adapted: bool = True  # goes through the model's adapter, where it has one behind a gate

    @property
    def prompt_tokens(self) -> int:
        """Length of the prompt."""
        return len(self.tokens)


@dataclass(slots=True, kw_only=True, eq=False)
class Sequence:
    """One resident request.

    `tokens[:length]` are prompt and output; the keys and values of `tokens[:computed]` are in `slot` (None until the
    pool had room). Owned by the engine's thread. `uncharged` is service the policy has not been told of yet, `turn`
    the service since the sequence last went back in line.
    """

    job: Job
    request: Prepared
    tokens: NDArray[np.int64]
    length: int
    stream: TextStream
    order: int
    computed: int = 0
    cached: int = 0
    slot: Slot | None = None
    running: bool = False
    turn: float = 0.0
    uncharged: float = 0.0
    text: list[str] = field(default_factory=list[str])
    calls: list[Any] = field(default_factory=list[Any])

    @property
    def pending(self) -> int:
        """Tokens whose keys and values are still to be computed."""
        return self.length - self.computed

    @property
    def generated(self) -> int:
        """Output tokens so far."""
        return self.length - self.request.prompt_tokens
