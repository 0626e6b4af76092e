"""What a run queue tells: events, and the failures of policies, limiters and waiters, which it contains."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from aios_kernel.errors import CoreError, PolicyError
from aios_kernel.logs import logger

if TYPE_CHECKING:
    from collections.abc import Callable

    from aios_kernel.events import EventName
    from aios_kernel.scheduling.policy import Policy
    from aios_kernel.scheduling.task import Task

__all__ = ["Reports"]

log = logger(__name__)


class Reports:
    """Failures are replies: nothing here raises, and what was contained is logged and told."""

    __slots__ = ("_emit", "_resource")

    def __init__(self, resource: str, emit: Callable[[EventName, Task | None, dict[str, Any]], None]) -> None:
        self._resource, self._emit = resource, emit

    def contain(self, where: str, function: Callable[..., object], *args: Any) -> None:
        """Call what may be anybody's; the call that it is about goes on."""
        try:
            function(*args)
        except Exception as error:  # noqa: BLE001 - reported; the call's result stands
            self.report(where, error)

    def report(self, where: str, error: BaseException) -> None:
        """Log and tell a failure beside a call."""
        log.error("%s of resource %s raised and was contained", where, self._resource, exc_info=error)
        self.tell("error", None, {"where": where, "resource": self._resource, "error": error})

    def tell(self, name: EventName, task: Task | None, details: dict[str, Any]) -> None:
        """Emit one event."""
        try:
            self._emit(name, task, details)
        except Exception:
            log.exception("the event %r of resource %s could not be emitted", name, self._resource)

    def policy_error(self, where: str, error: Exception, policy: Policy) -> PolicyError:
        """Report what a policy raised; return the failure of the call it was asked about."""
        self.report(f"policy.{where}", error)
        name = policy.name or type(policy).__name__
        failure = PolicyError(
            f"policy {name!r} of resource {self._resource} raised {error!r} in {where}; mend the policy or choose another, "
            f"for example policy='fifo'"
        )
        failure.__cause__ = error
        return failure

    def core_error(self, where: str, error: Exception) -> CoreError:
        """Report what a limiter or a waiter raised; return the failure of the call."""
        self.report(where, error)
        failure = CoreError(f"{where} of resource {self._resource} raised {error!r}")
        failure.__cause__ = error
        return failure
