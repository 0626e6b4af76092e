"""A manager that is made at its first call, so that one that nobody calls opens no file."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from aios_kernel.errors import KernelClosed
from aios_kernel.managers.base import Manager

if TYPE_CHECKING:
    from collections.abc import Callable

    from aios_kernel.abi import Call
    from aios_kernel.kernel import Kernel
    from aios_kernel.process import Process

__all__ = ["LazyManager"]

M = TypeVar("M", bound=Manager)


class LazyManager(Manager, Generic[M]):
    """Serve the calls of a kind by the manager that `make` gives, which is asked at the first of them.

    It is for managers of which nothing but `handle` is their own. Where `make` fails, so does the call, and the next
    call asks again.
    """

    def __init__(self, kind: str, make: Callable[[], M]) -> None:
        super().__init__(kind)
        self.kinds = frozenset({kind})  # pyright: ignore[reportAttributeAccessIssue] - the class is for any kind
        self._make, self._made = make, threading.Lock()
        self._manager: M | None = None
        self._kernel: Kernel | None = None

    @property
    def manager(self) -> M:
        """The manager, made if need be; raises `KernelClosed` after `close()`."""
        with self._made:
            if self._manager is None:
                if self._closed:
                    raise KernelClosed(f"manager {self.name!r} is closed")
                made = self._make()
                if self._kernel is not None:
                    made.bind(self._kernel)
                self._manager = made
            return self._manager

    def bind(self, kernel: Kernel) -> None:
        """Take the kernel for the manager, too."""
        self._kernel = kernel
        if self._manager is not None:
            self._manager.bind(kernel)

    def handle(self, call: Call, process: Process) -> Any:
        """Do one call for an agent."""
        return self.manager.handle(call, process)

    def after_fork(self) -> None:
        """Be usable in a child process."""
        super().after_fork()
        self._made = threading.Lock()
        if self._manager is not None:
            self._manager.after_fork()

    def close(self) -> None:
        """Take no more calls, and close what was made."""
        super().close()
        with self._made:
            if self._manager is not None:
                self._manager.close()
