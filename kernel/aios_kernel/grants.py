"""The embedded kernel's side of the gate: entering, waiting in a thread or an event loop, and giving back."""

from __future__ import annotations

import copy
import threading
import weakref
from typing import TYPE_CHECKING, Any

from aios_kernel.errors import AccessDenied, CoreError
from aios_kernel.identity import open_tasks
from aios_kernel.scheduling.limiter import Outcome
from aios_kernel.scheduling.task import State
from aios_kernel.serving import Job, running_loop, wake_future

if TYPE_CHECKING:
    import asyncio
    from collections.abc import AsyncIterator, Callable, Iterator
    from types import TracebackType

    from aios_kernel.abi import Call, Delta, Reply, Usage
    from aios_kernel.budgets import Charge
    from aios_kernel.cores.base import Core
    from aios_kernel.holds import Hold
    from aios_kernel.kernel import Kernel
    from aios_kernel.scheduling.queue import RunQueue
    from aios_kernel.scheduling.task import Task
    from aios_kernel.serving import Mailbox

    Notify = Callable[[], bool]

__all__ = ["EmbeddedGrant", "EmbeddedSyscall"]


class EmbeddedGrant:
    """A grant of the kernel in this process; see `aios_kernel.gate.Grant` for who owns it."""

    __slots__ = (
        "__weakref__", "_finalizer", "_kernel", "_usage", "call", "charge", "core", "job", "kept", "queue", "task",
    )  # fmt: skip

    def __init__(
        self,
        kernel: Kernel,
        call: Call,
        task: Task,
        queue: RunQueue,
        core: Core | None,
        charge: Charge | None = None,
    ) -> None:
        self.call, self.core, self.task = call, core, task
        self.charge = charge  # what the call holds of its agent's budgets
        self.job: Job | None = None
        self.kept = False
        self._kernel, self.queue = kernel, queue
        self._usage: Usage | None = None
        self._finalizer: weakref.finalize[..., Any] | None = None

    @property
    def sid(self) -> int:
        """The syscall's number."""
        return self.task.seq

    @property
    def pid(self) -> int:
        """The agent's number."""
        return self.task.process.pid

    @property
    def lease(self) -> bool:
        """True: make the call yourself. False: the kernel's core answers it."""
        return self.job is None

    def report(self, usage: Usage) -> None:
        """Say what a leased call used; the last report counts."""
        self._usage = usage

    def first_token(self) -> None:
        """Note that a leased stream gave its first piece."""
        self.queue.passed(self.task)

    # Turns

    def submit(self, notify: Notify, mailbox: Mailbox | None = None) -> None:
        """Queue the call; `notify` is called once, at its grant or failure.

        A service begins there and then: it needs no help from its caller's thread or loop, and cannot hold a slot idle.
        What the core answers goes into `mailbox`.
        """
        core, call, task = self.core, self.call, self.task
        if core is None or core.lease:
            task.notify = notify
        else:
            self.job = Job(call, task, task.demand, mailbox)
            task.kill = self.job.kill
            task.notify = lambda: (self._kernel.start(self), notify())[1]
        hold = task.hold
        self.queue.submit(task)
        if hold is not None:  # the task is in the queue, out of line: the answer may come at any moment
            self._ask(hold)

    def _ask(self, hold: Hold) -> None:
        """Have a held call's question asked; whatever goes wrong with it refuses the call."""
        task, queue, first = self.task, self.queue, [True]

        def settle(error: BaseException | None) -> None:
            try:
                first.pop()
            except IndexError:
                return
            queue.settle(task, error)

        try:
            hold.begin(settle)
        except Exception as error:  # noqa: BLE001 - a check may be anybody's; it fails closed
            refusal = AccessDenied(f"{task.label or task.kind!r} could not be put to whoever decides: {error!r}")
            refusal.__cause__ = error
            settle(refusal)

    def try_again(self, status: int, retry_after: float | None, notify: Notify) -> None:
        """Queue a refused attempt again; `notify` is called once, when its turn comes or it fails."""
        self.task.notify = notify
        self.queue.push_back(self.task, Outcome(pushed_back=True, status=status, retry_after=retry_after))

    def withdraw(self, error: BaseException | None = None) -> None:
        """Leave the queue, or give back what was granted meanwhile; nobody is woken any more."""
        started = self.job is not None and self.job.started
        self.queue.cancel(self.task, error)
        if self.job is not None:
            self.job.cancel()
        if self.charge is not None and not started:  # else the core tells what it has cost
            self.charge.undo()

    def woken(self) -> None:
        """Take note that the caller knows of its turn; raise what the call failed with."""
        if self.job is None:  # a core may queue the call again, so that there is more to be notified of
            self.task.notify = None
        if self.charge is not None and self.task.error is not None and (self.job is None or not self.job.started):
            self.charge.undo()
        _raise_failure(self.task)

    @property
    def moves(self) -> bool:
        """Whether the resource lets other calls through."""
        return self.queue.moves(self.task)

    def push_back(self, status: int, retry_after: float | None = None, *, anyway: bool = False) -> bool:
        """Say that the endpoint refused the attempt for load; True once the next turn has come, in this thread."""
        if not anyway and not self.moves:
            return False
        wait_in_thread(self, lambda notify: self.try_again(status, retry_after, notify))
        return True

    async def apush_back(self, status: int, retry_after: float | None = None, *, anyway: bool = False) -> bool:
        """Say that the endpoint refused the attempt for load; True once the next turn has come, in this event loop."""
        if not anyway and not self.moves:
            return False
        await wait_in_loop(self, lambda notify: self.try_again(status, retry_after, notify))
        return True

    # Service

    def reply(self) -> Reply:
        """Wait for the served reply."""
        return self._served().mailbox.reply()

    async def areply(self) -> Reply:
        """Wait for the served reply."""
        return await self._served().mailbox.areply()

    def deltas(self) -> Iterator[Delta]:
        """Stream the served reply; leaving the iterator early cancels the call."""
        job = self._served()
        try:
            yield from job.mailbox.deltas()
        finally:
            self.release()

    async def adeltas(self) -> AsyncIterator[Delta]:
        """Stream the served reply; leaving the iterator early cancels the call."""
        job = self._served()
        try:
            async for delta in job.mailbox.adeltas():
                yield delta
        finally:
            self.release()

    def _served(self) -> Job:
        if self.job is None:
            message = "this grant is a lease: make the call yourself instead of asking the kernel for a reply"
            raise CoreError(message)
        return self.job

    # Giving back

    def keep(self) -> EmbeddedGrant:
        """Have the grant outlive its `with` block, for a stream; return it."""
        if not self.kept:
            self.kept = True
            # `self` must not be reachable from its own finaliser: pass what it needs.
            self._finalizer = weakref.finalize(self, _abandon, self.job, self.task, self.queue, self.charge)
            self._finalizer.atexit = False
        return self

    def release(self, error: BaseException | None = None) -> None:
        """Give the grant back; idempotent, any thread, also from a finaliser."""
        if self._finalizer is not None:
            self._finalizer.detach()
        if self.job is not None and not self.job.done:
            self.job.cancel()
        # In this thread and before the queue hears of it: the agent's next call must find the books in order.
        if self.charge is not None:
            self.charge.end(self._usage, error)
        if self.task.state is not State.DONE:
            self.queue.release(self.task, Outcome(usage=self._usage, error=error))


def _abandon(job: Job | None, task: Task, queue: RunQueue, charge: Charge | None) -> None:
    """Give back what a dropped grant held."""
    if job is not None:
        job.cancel()
    if charge is not None:
        charge.end(None)
    queue.release(task, Outcome())


class EmbeddedSyscall:
    """One entry into the kernel of this process, used once."""

    __slots__ = ("_call", "_grant", "_kernel")

    def __init__(self, kernel: Kernel, call: Call) -> None:
        self._kernel, self._call = kernel, call
        self._grant: EmbeddedGrant | None = None

    def __enter__(self) -> EmbeddedGrant:
        grant = self._prepare()
        grant.task.blocks_loop = grant.task.loop_id != 0
        wait_in_thread(grant, grant.submit)
        return self._entered(grant)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        grant, self._grant = self._grant, None
        if grant is None:
            return
        if error is not None or not grant.kept:
            grant.release(error)
        # A kept grant stays among the open ones: what its holder calls meanwhile runs inside it.
        open_tasks.set(tuple(t for t in open_tasks.get() if t.state is not State.DONE))

    async def __aenter__(self) -> EmbeddedGrant:
        grant = self._prepare()
        await wait_in_loop(grant, grant.submit)
        return self._entered(grant)

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.__exit__(kind, error, trace)

    def _prepare(self) -> EmbeddedGrant:
        if self._grant is not None:
            message = "a syscall is entered once; ask the kernel for a new one"
            raise RuntimeError(message)
        return self._kernel.admit(self._call)

    def _entered(self, grant: EmbeddedGrant) -> EmbeddedGrant:
        self._grant = grant
        open_tasks.set((*(t for t in open_tasks.get() if t.state is not State.DONE), grant.task))
        return grant


def wait_in_thread(grant: EmbeddedGrant, post: Callable[[Notify], None]) -> None:
    """Post, and sleep in this thread until the call is granted; raise what it failed with."""
    woken = threading.Lock()
    woken.acquire()

    def notify() -> bool:
        if woken.locked():
            woken.release()
        return True

    try:
        post(notify)
        woken.acquire()
    except BaseException as error:  # Ctrl-C: leave the queue, or give back what was granted meanwhile
        grant.withdraw(error)
        raise
    grant.woken()


async def wait_in_loop(grant: EmbeddedGrant, post: Callable[[Notify], None]) -> None:
    """Post, and let this event loop run until the call is granted; raise what it failed with."""
    loop = running_loop()
    woken: asyncio.Future[None] = loop.create_future()
    thread = threading.get_ident()

    def notify() -> bool:
        if threading.get_ident() == thread:
            if not woken.done():
                woken.set_result(None)
            return True
        return wake_future(loop, woken)

    try:
        post(notify)
        await woken
    except BaseException as error:
        grant.withdraw(error)
        raise
    grant.woken()


def _raise_failure(task: Task) -> None:
    """Raise the task's error in its caller; a copy, since one error may answer many callers."""
    if task.error is None or task.state is not State.DONE:
        return
    try:
        failure = copy.copy(task.error)
    except Exception:  # noqa: BLE001 - an error that cannot be copied is raised as it is
        failure = task.error
    failure.__cause__ = task.error.__cause__
    raise failure
