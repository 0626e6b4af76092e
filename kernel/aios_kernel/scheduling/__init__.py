"""Run queues and policies: who waits, and who runs next."""

from aios_kernel.scheduling.limiter import NOW, WHEN_RELEASED, FixedLimiter, Limiter, Outcome
from aios_kernel.scheduling.policy import Policy
from aios_kernel.scheduling.queue import RunQueue
from aios_kernel.scheduling.task import State, Task
from aios_kernel.scheduling.tree import RankTree

__all__ = [
    "NOW",
    "WHEN_RELEASED",
    "FixedLimiter",
    "Limiter",
    "Outcome",
    "Policy",
    "RankTree",
    "RunQueue",
    "State",
    "Task",
]
