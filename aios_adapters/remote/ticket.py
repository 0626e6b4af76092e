"""This process's record of one call to a kernel elsewhere: what came back for it, and whether it is open still."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any, cast

from aios_kernel.protocol import decode_delta, decode_error, decode_reply
from aios_kernel.scheduling.task import State
from aios_kernel.serving import Mailbox

if TYPE_CHECKING:
    from aios_adapters.remote.connection import Connection
    from aios_kernel.abi import Delta, Reply

__all__ = ["Ticket"]

SAY_AFTER = 64  # pieces that were read before the server hears that there is room for as many more


class Ticket(Mailbox):
    """Holds messages and errors as they came; they are decoded in the thread that takes them.

    As an open call of its context it stands where the embedded kernel has a task.
    """

    __slots__ = ("_error", "_read", "connection", "number")

    resource = ""

    def __init__(self, connection: Connection, number: int) -> None:
        super().__init__()
        self.connection, self.number = connection, number
        self._error: BaseException | None = None
        self._read = 0

    @property
    def state(self) -> State:
        """RUNNING or DONE, as far as this process knows."""
        return State.RUNNING if self.connection.is_open(self) else State.DONE

    def turn(self) -> dict[str, Any]:
        """Wait in this thread for the answer to a request for a turn; raise what the call failed with."""
        return self._answer(self.get())

    async def aturn(self) -> dict[str, Any]:
        """Wait in this event loop."""
        return self._answer(await self.aget())

    def _answer(self, item: Any) -> dict[str, Any]:
        if isinstance(item, BaseException):
            raise item
        return cast("dict[str, Any]", item)

    def get(self) -> Any:
        """Wait in this thread for the next item."""
        if self._error is not None and not self._items:
            raise self._error
        return super().get()

    async def aget(self) -> Any:
        """Wait in this event loop for the next item."""
        if self._error is not None and not self._items:
            raise self._error
        return await super().aget()

    def put(self, item: Any) -> bool:
        """Take a message as it came, or the error that ends everything."""
        return super().put(item)

    def _take(self) -> Delta | Reply | BaseException:
        message: Any = self._items.popleft()
        if isinstance(message, BaseException):
            self._error = message
            return _own(message)
        op = message["op"]
        if op == "delta":
            self._note_room()
            return decode_delta(message["delta"])
        if op == "reply":
            return decode_reply(message["reply"])
        if op == "failed":
            self._error = self.connection.judged(decode_error(message["error"]), ended=bool(message.get("ended")))
            return self._error
        return message

    def _note_room(self) -> None:
        self._read += 1
        if self._read == SAY_AFTER:
            self._read = 0
            self.connection.send({"op": "more", "id": self.number, "count": SAY_AFTER})


def _own(error: BaseException) -> BaseException:
    """An exception object of this waiter's own: one loss answers many calls."""
    found = copy.copy(error)
    found.__cause__ = error.__cause__
    return found
