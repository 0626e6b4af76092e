"""The manager interface: a core for calls that are not a language model's, done by code of the kernel's own."""

from __future__ import annotations

import contextvars
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, ClassVar

from aios_kernel.abi import Reply
from aios_kernel.cores.base import Core
from aios_kernel.errors import CoreError, KernelClosed, SyscallError
from aios_kernel.identity import current_agent, open_tasks
from aios_kernel.scheduling.limiter import Limiter

if TYPE_CHECKING:
    from collections.abc import Callable

    from aios_kernel.abi import Call
    from aios_kernel.kernel import Kernel
    from aios_kernel.process import Process
    from aios_kernel.serving import Job

__all__ = ["Manager"]


class Manager(Core):
    """Serve the calls of some kinds; subclasses implement `handle`.

    It takes each call whose kind it names, unless the call asks for a lease. `handle` runs in a thread of the manager's
    own (at most `workers` at once), as the calling agent and inside its call; what it returns is the reply's `data`
    and has to be plain data where the kernel serves other processes. `SyscallError`s are raised in the caller as they
    are, anything else as `CoreError`.
    """

    kind: ClassVar[str] = "manager"
    #: The kinds of Call that this manager serves.
    kinds: ClassVar[frozenset[str]] = frozenset()

    def __init__(self, name: str, *, workers: int = 8, limiter: Limiter | None = None) -> None:
        super().__init__(name, limiter)
        self._workers = workers
        self._lock = threading.Lock()
        self._pool: ThreadPoolExecutor | None = None
        self._closed = False

    def handle(self, call: Call, process: Process) -> Any:
        """Do one call for an agent."""
        raise NotImplementedError

    def takes(self, call: Call) -> bool:
        """Whether this manager serves the call; else it is a lease."""
        return call.kind in self.kinds and not call.lease

    def bind(self, kernel: Kernel) -> None:
        """Take the kernel whose calls this manager serves, before the first of them; for managers that make calls."""
        del kernel

    def limit_of(self, resource: str) -> int | None:
        """The parallel limit that the manager itself sets for a run queue; the kernel's own may be lower."""
        del resource
        return None

    def prepare(self, call: Any) -> Any:
        """Check a call before it is queued, in its caller's thread; what it returns is the job's `prepared`."""
        del call

    # The Core interface

    def start(self, job: Job) -> None:
        """Hand a granted call to a thread."""
        context = contextvars.Context()
        self.run(job, lambda: context.run(self._serve, job))

    def run(self, job: Job, work: Callable[[], None]) -> None:
        """Have `work` run in a thread; override for calls that may hang."""
        try:
            with self._lock:
                if self._closed:
                    raise KernelClosed(f"manager {self.name!r} is closed")
                if self._pool is None:
                    self._pool = ThreadPoolExecutor(self._workers, thread_name_prefix=f"aios-{self.name}")
                self._pool.submit(work)
        except (KernelClosed, RuntimeError) as error:  # RuntimeError: the interpreter shuts down
            job.fail(error if isinstance(error, KernelClosed) else KernelClosed(str(error)))

    def _serve(self, job: Job) -> None:
        if job.cancelled:
            job.fail(CoreError("the call was cancelled"))
            return
        current_agent.set(job.task.process.agent)
        open_tasks.set((job.task,))
        try:
            result = self.handle(job.call, job.task.process)
        except SyscallError as error:
            job.fail(error)
        except Exception as error:  # noqa: BLE001 - failures are replies
            failure = CoreError(f"{self.name}: {error}")
            failure.__cause__ = error
            job.fail(failure)
        except BaseException as error:
            job.fail(CoreError(f"{self.name}: {error!r}"))
            raise
        else:
            job.finish(result if isinstance(result, Reply) else Reply(data=result))

    def after_fork(self) -> None:
        """Forget the parent's threads."""
        self._lock, self._pool = threading.Lock(), None

    def close(self) -> None:
        """Take no more calls; those under way end by themselves."""
        with self._lock:
            self._closed, pool, self._pool = True, self._pool, None
        if pool is not None:
            pool.shutdown(wait=False, cancel_futures=True)
