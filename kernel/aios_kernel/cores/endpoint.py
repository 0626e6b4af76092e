"""EndpointCore: the program's own endpoint. The caller makes the call with its own client; the kernel says when."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from aios_kernel.cores.base import Core
from aios_kernel.cores.endpoint_limiter import EndpointLimiter

if TYPE_CHECKING:
    import random

    from aios_kernel.abi import LLMCall

__all__ = ["EndpointCore"]


class EndpointCore(Core):
    """Lease calls to one model of one endpoint.

    `in_flight`, `rpm` and `tpm` are the limits the endpoint is known to have, None for those it is to be learned from
    its refusals; `window` is what the two rates are per, in seconds. Knows no HTTP: whoever makes the call reports
    refusals through `Grant.push_back`.
    """

    kind: ClassVar[str] = "endpoint"
    lease: ClassVar[bool] = True

    def __init__(
        self,
        base_url: str = "",
        model: str = "",
        *,
        name: str = "",
        in_flight: float | None = None,
        rpm: float | None = None,
        tpm: float | None = None,
        window: float = 60.0,
        rng: random.Random | None = None,
    ) -> None:
        super().__init__(name or f"llm:{base_url or 'default'}", EndpointLimiter(in_flight, rpm, tpm, window, rng))
        self.base_url, self.model = base_url, model

    def serves(self, call: LLMCall) -> bool:
        """Whether the call would go to this endpoint and model."""
        return call.endpoint == self.base_url and call.model == self.model

    def status(self) -> dict[str, Any]:
        """Describe the endpoint and the limits in force."""
        return {**super().status(), "endpoint": self.base_url, "model": self.model, **self.limiter.status()}
