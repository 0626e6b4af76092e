"""Visits to shelves: with `enable(memory=True)`, what a call of a store's method changed is brought to the kernel's memory, and back."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from aios_adapters import identity, session
from aios_adapters.calls._entry import Entry, NativeGrant
from aios_kernel.errors import ConfigError
from aios_kernel.process import ROOT

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from aios_adapters.shelves import Keeper, Shelf
    from aios_kernel.abi import Agent, MemoryCall
    from aios_kernel.gate import Grant

__all__ = ["Visit", "Visits", "visit", "visits"]


class Visit:
    """One call of a store's method, between its entry and its exit."""

    def __init__(self, shelf: Shelf, store: Any, told: Mapping[str, Any], by: str) -> None:
        self._shelf, self._store, self._told, self._by = shelf, store, told, by

    def held(self, name: str) -> list[Any]:
        """The items of a list as they were told last."""
        return self._shelf.held(name)

    def before(self) -> None:
        """Bring what others changed into the store."""
        self._exchange(self._shelf.look())

    def after(self) -> None:
        """Tell what the method has changed."""
        self._exchange(self._shelf.tell(self._store, self._told, self._by))

    async def abefore(self) -> None:
        """Bring what others changed into the store, in the caller's event loop."""
        await self._aexchange(self._shelf.look())

    async def aafter(self) -> None:
        """Tell what the method has changed, in the caller's event loop."""
        await self._aexchange(self._shelf.tell(self._store, self._told, self._by))

    def _exchange(self, call: MemoryCall | None) -> None:
        entry = None if call is None else self._entry(call)
        if call is None or entry is None:
            return
        try:
            with entry as grant:
                answer = None if isinstance(grant, NativeGrant) else _served(grant).reply().data
        except BaseException:
            self._shelf.failed(call)
            raise
        self._took(call, answer)

    async def _aexchange(self, call: MemoryCall | None) -> None:
        entry = None if call is None else self._entry(call)
        if call is None or entry is None:
            return
        try:
            async with entry as grant:
                answer = None if isinstance(grant, NativeGrant) else (await _served(grant).areply()).data
        except BaseException:
            self._shelf.failed(call)
            raise
        self._took(call, answer)

    def _entry(self, call: MemoryCall) -> Entry | None:
        now = session.current()
        return None if now is None else Entry(now, now.kernel.syscall(call))

    def _took(self, call: MemoryCall, answer: Any) -> None:
        if answer is None:  # the session ended
            self._shelf.failed(call)
        else:
            self._shelf.take(self._store, answer, self._told)


class Visits:
    """One call of the method of a store that is made of stores."""

    def __init__(self, each: Iterable[Visit]) -> None:
        self._each = tuple(each)

    def before(self) -> None:
        """Bring what others changed into each store."""
        for one in self._each:
            one.before()

    def after(self) -> None:
        """Tell what the method has changed in each."""
        for one in self._each:
            one.after()

    async def abefore(self) -> None:
        """Bring what others changed into each store, in the caller's event loop."""
        for one in self._each:
            await one.abefore()

    async def aafter(self) -> None:
        """Tell what the method has changed in each, in the caller's event loop."""
        for one in self._each:
            await one.aafter()


def visit(
    store: Any,
    keeper_of: Callable[[Any], Keeper | None] | None,
    told: Callable[[], Mapping[str, Any]],
    *,
    part: str = "",
    agent: Agent | None = None,
) -> Visit | None:
    """Come to a store's shelf; None where memory was not asked for, or the store is of no kind that has one.

    A store that many have a part of has a shelf for each `part`. `agent` is who uses it, where context does not say.
    """
    now = session.current()
    if keeper_of is None or now is None or not now.settings.memory:
        return None
    keeper, user = keeper_of(store), agent or _user()
    shelf = None if keeper is None else now.shelves.of(store, keeper, user, part)
    return None if shelf is None else Visit(shelf, store, told(), user.name)


def visits(each: Iterable[Visit | None]) -> Visits | None:
    """Come to the shelves of all the stores that a store is made of; None where none has one."""
    found = [one for one in each if one is not None]
    return Visits(found) if found else None


def _user() -> Agent:
    now = session.current()
    return identity.current(() if now is None else now.resolvers) or ROOT


def _served(grant: Grant) -> Grant:
    if grant.lease:
        raise ConfigError(
            "enable(memory=True) needs a kernel that serves memory, and this one does not: give it managers, or a daemon a folder (aios serve --data)"
        )
    return grant
