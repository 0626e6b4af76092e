"""The core interface: what grants lead to. An endpoint core leases, every other core serves."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from aios_kernel.errors import CoreError
from aios_kernel.scheduling.limiter import FixedLimiter, Limiter

if TYPE_CHECKING:
    from aios_kernel.abi import Call, LLMCall
    from aios_kernel.scheduling.queue import RunQueue
    from aios_kernel.serving import Job

__all__ = ["Core"]


class Core:
    """Answer language-model calls, or (lease) let the caller's own client answer them.

    One core owns one run queue. Lifecycle: `attach` once; per call `prepare` in the caller's thread before the call is
    queued, then `start` when it is granted, on the scheduler's serial: it must hand the work to a thread of the
    core's own and return at once; `close` wakes every job. A core that raises fails that call only.
    """

    kind: ClassVar[str] = "core"
    #: The grant is a lease: the caller makes the call by itself.
    lease: ClassVar[bool] = False
    #: The core charges the policy while it serves; nothing is reserved at the grant.
    metered: ClassVar[bool] = False
    #: LLMCall operations that the core can serve.
    operations: ClassVar[frozenset[str]] = frozenset({"chat", "completion", "embedding"})

    def __init__(self, name: str, limiter: Limiter | None = None) -> None:
        self.name = name
        self.limiter: Limiter = limiter or FixedLimiter()
        self.queue: RunQueue | None = None

    def attach(self, queue: RunQueue) -> None:
        """Take the run queue that grants this core's calls."""
        self.queue = queue

    def serves(self, call: LLMCall) -> bool:
        """Whether this core can answer such a call."""
        return call.operation in self.operations

    def prepare(self, call: LLMCall) -> Any:
        """Check and translate the call before it is queued; raise for one that could never be served.

        What it returns is the task's `demand` (for the limiter) and the job's `prepared`.
        """
        del call

    def start(self, job: Job) -> None:
        """Begin to serve a granted job; return at once."""
        message = f"core {self.name!r} cannot serve calls"
        raise CoreError(message)

    def estimate(self, call: Call) -> float:
        """Cost to reserve with the policy when the call is granted."""
        return 0.0 if self.metered else call.estimate

    def status(self) -> dict[str, Any]:
        """Describe the core, for people."""
        return {"core": self.name, "kind": self.kind, "lease": self.lease}

    def after_fork(self) -> None:
        """Forget threads, locks and calls of the parent process; keep what is loaded. `attach` follows."""

    def close(self) -> None:
        """Stop, ending every job; idempotent."""
