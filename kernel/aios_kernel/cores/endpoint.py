"""EndpointCore (placeholder until its limiter lands)."""

from __future__ import annotations

from typing import ClassVar

from aios_kernel.cores.base import Core
from aios_kernel.scheduling.limiter import FixedLimiter


class EndpointCore(Core):
    """Lease calls to the caller's own endpoint."""

    kind: ClassVar[str] = "endpoint"
    lease: ClassVar[bool] = True

    def __init__(
        self,
        endpoint: str,
        model: str,
        *,
        name: str,
        in_flight: int | None = None,
        rpm: float | None = None,
        tpm: float | None = None,
    ) -> None:
        super().__init__(name, FixedLimiter(in_flight))
        self.endpoint, self.model = endpoint, model
