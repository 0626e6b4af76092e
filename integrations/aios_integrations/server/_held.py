"""One call that a client holds or waits for, and the pieces of its reply that are still to be sent."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from aios_kernel.abi import Delta, Reply
from aios_kernel.errors import CoreError
from aios_kernel.protocol import encode_delta, encode_reply
from aios_kernel.scheduling import State
from aios_kernel.serving import Mailbox

if TYPE_CHECKING:
    from collections.abc import Iterator

    from aios_integrations.server._client import Client
    from aios_kernel.grants import EmbeddedGrant
    from aios_kernel.scheduling import Task

__all__ = ["Held"]

ROOM = 256  # pieces that may be on their way to a reader that has not said it took any
MOST_KEPT = 16_384  # pieces kept for a reader that is slower than its model; more end its call


class Held(Mailbox):
    """A client's call. As the mailbox of a served one it takes the core's pieces, from any thread, and never blocks."""

    __slots__ = ("_client", "_told", "grant", "number", "room")

    def __init__(self, client: Client, number: int) -> None:
        super().__init__()
        self.number = number
        self.grant: EmbeddedGrant | None = None
        self.room = ROOM
        self._client = client
        self._told = False  # whether the client knows that its call was granted

    @property
    def task(self) -> Task | None:
        """The scheduler's record, once there is one."""
        return None if self.grant is None else self.grant.task

    # Turns

    def submit(self, blocks_loop: bool) -> None:
        """Queue the call."""
        if self.grant is not None:
            self.grant.task.blocks_loop = blocks_loop
            self.grant.submit(self._turn, self)

    def push_back(self, status: int, retry_after: float | None, *, anyway: bool) -> None:
        """Queue a refused attempt again, or say that the refusal stands."""
        grant = self.grant
        if grant is None:
            return
        if anyway or grant.moves:
            grant.try_again(status, retry_after, self._turn)
        else:
            self._client.post({"op": "stands", "id": self.number})

    def _turn(self) -> bool:
        """Tell the client of its grant or failure; called by the scheduler, in any thread."""
        grant, task = self.grant, self.task
        if grant is None or task is None:
            return False
        if task.error is not None and task.state is State.DONE and not self._told_of_service(grant):
            self._client.forget(self)
            self._client.post(self._client.failed(self, task.error))
        elif grant.job is None or not self._told:
            self._told = True
            granted = {"op": "granted", "id": self.number, "sid": grant.sid, "pid": grant.pid, "lease": grant.lease}
            self._client.post(granted)
            if grant.job is not None:
                self._client.pour(self)
        return True

    def _told_of_service(self, grant: EmbeddedGrant) -> bool:
        """Whether an error reaches the client by way of its reply instead."""
        return self._told and grant.job is not None

    def withdraw(self, why: str) -> None:
        """Leave the queue, or give back what is held."""
        if self.grant is not None:
            self.grant.withdraw(GeneratorExit(why))

    # The reply

    def put(self, item: Delta | Reply | BaseException) -> bool:
        """Take a piece or the end of the reply from the core."""
        if len(self._items) == MOST_KEPT and isinstance(item, Delta):
            self._overrun()
        elif len(self._items) <= MOST_KEPT:
            self._items.append(item)
        self._client.pour(self)
        return True

    def _overrun(self) -> None:
        job = None if self.grant is None else self.grant.job
        message = (
            f"the reader of this stream is more than {MOST_KEPT} pieces behind: read it faster, or limit the tokens"
        )
        self._items.append(CoreError(message))
        if job is not None:
            job.cancel()

    def poured(self) -> Iterator[dict[str, Any]]:
        """Take the messages that may be sent now; on the server's loop only."""
        while self._told and self._items:
            item = self._items[0]
            if isinstance(item, Delta):
                if self.room <= 0:
                    return
                self.room -= 1
                yield {"op": "delta", "id": self.number, "delta": encode_delta(item)}
            elif isinstance(item, Reply):
                yield {"op": "reply", "id": self.number, "reply": encode_reply(item)}
            else:
                yield self._client.failed(self, item)
            self._items.popleft()
            if not isinstance(item, Delta):  # that was the end: nothing is held any more
                self._client.forget(self)
