"""The kernel of a session: one in this process by its settings, or one elsewhere by its address."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from aios_adapters import config
from aios_adapters._access import access_manager
from aios_adapters._log import warn_once
from aios_kernel.errors import KernelLost

if TYPE_CHECKING:
    import os
    from collections.abc import Callable

    from aios_adapters.config import Settings
    from aios_kernel.access import AccessManager
    from aios_kernel.gate import Gate
    from aios_kernel.managers import Manager

__all__ = ["journaled", "make_kernel", "managers", "start_trace"]


def make_kernel(settings: Settings) -> Gate:
    if settings.kernel is not None:
        return _remote_kernel(settings, settings.kernel)
    from aios_kernel.kernel import Kernel

    access = access_manager(settings.access, settings.audit)
    return Kernel(
        policy=settings.policy,
        policies=settings.policies,
        llm=settings.llm,
        limits=settings.limits,
        record_content=settings.record_content,
        budgets=settings.budgets,
        prices=settings.prices,
        managers=managers(settings.data, access, memory=settings.memory, embedder=settings.embedder),
        checks=() if access is None else (access.check,),
    )


def managers(
    data: str | os.PathLike[str] | None,
    access: AccessManager | None,
    *,
    memory: bool = False,
    embedder: Any = None,
) -> tuple[Manager, ...]:
    """The access manager, if there is one, and those that keep what they keep below a folder, if there is that.

    With `memory` and no folder there is a memory that ends with the process.
    """
    given = () if access is None else (access,)
    if data is None and memory:
        from aios_kernel.memory import MemoryManager

        allowed = None if access is None else access.allowed
        return (*given, MemoryManager("memory", allowed=allowed, embedder=embedder))
    if data is None:
        return given
    from aios_kernel.managers.standard import standard_managers

    return (*given, *standard_managers(data, access=access, embedder=embedder))


def journaled(settings: Settings, kernel: Gate) -> tuple[Gate, Callable[[], None]]:
    """The kernel with the journal that is asked for before it, and what closes the journal."""
    if settings.journal is None:
        return kernel, lambda: None
    from aios_kernel.journal import Journal, Journaled

    journal = Journal(settings.journal, settings.journal_mode, idempotent=settings.journal_idempotent)
    return Journaled(kernel, journal), journal.close


#: Settings of a kernel, which one in another process has of its own.
KERNELS_OWN = (
    "llm",
    "policy",
    "policies",
    "limits",
    "trace",
    "record_content",
    "budgets",
    "prices",
    "access",
    "audit",
    "data",
    "embedder",
)


def _remote_kernel(settings: Settings, where: str) -> Gate:
    from aios_adapters.remote import RemoteKernel

    ignored = [key for key in KERNELS_OWN if getattr(settings, key) != getattr(config.Settings(), key)]
    if ignored:
        warn_once(f"{', '.join(ignored)} have no effect here: the kernel at {where} has settings of its own")
    kernel = RemoteKernel(where, on_loss=settings.on_kernel_loss)
    try:
        kernel.status()
    except KernelLost as error:
        if settings.on_kernel_loss != "run":
            kernel.close()
            raise
        warn_once(str(error))
    except BaseException:
        kernel.close()
        raise
    return kernel


def start_trace(path: str | None, kernel: Any) -> Callable[[], None]:
    """Subscribe a trace file to the kernel's events; what is returned ends it."""
    if path is None or not hasattr(kernel, "bus"):
        return lambda: None
    from aios_kernel.trace import ChromeTrace  # pyright: ignore[reportMissingImports]

    trace: Any = ChromeTrace(path)
    unsubscribe = kernel.bus.subscribe(trace)

    def end() -> None:
        unsubscribe()
        getattr(trace, "close", lambda: None)()

    return end
