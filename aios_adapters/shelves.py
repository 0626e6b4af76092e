"""Shelves: what a framework's own store keeps is in the kernel's memory too, item by item, and is read back where somebody changed it there."""

from __future__ import annotations

import json
import threading
import uuid
import weakref
from collections.abc import Callable, Mapping, MutableMapping, MutableSequence, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from aios_adapters._log import log
from aios_kernel.abi import MemoryCall

if TYPE_CHECKING:
    from aios_kernel.abi import Agent

__all__ = ["Keeper", "Shelf", "Shelves", "Values"]

Encoded = tuple[str, Any]
LARGEST = (
    7 << 20
)  # characters of one item: a note has its data as a text, and the manager takes none of more than 16 MiB


def _nothing(store: Any) -> None:
    del store


@dataclass(frozen=True, slots=True)
class Keeper:
    """How a kind of store keeps its items.

    `lists(store, told)` gives its lists of items by name, or those that a call said to be about `told` can have changed; a name
    that ends in "*" stands for every list whose name begins so and that is not given: it is gone. `encode(item)`
    makes an item a text, for people and for search, and plain data; `decode(text, data)` makes it an item again. Without
    `decode`, and where a list is not the store's own, what is changed in the kernel's memory is not read back. `changed(store)`
    is called where it was. `amend(item, text, data)` takes the place of `decode` for items that have what cannot be written
    down: it gives a copy of the item, with what is different in its note.
    """

    lists: Callable[[Any, Mapping[str, Any]], Mapping[str, Sequence[Any]]]
    encode: Callable[[Any], Encoded]
    decode: Callable[[str, Any], Any] | None = None
    changed: Callable[[Any], None] = _nothing
    amend: Callable[[Any, str, Any], Any] | None = None

    def again(self) -> Callable[[Any, str, Any], Any] | None:
        """What makes an item of the item that it was and of its note."""
        decode = self.decode
        return self.amend if decode is None else lambda _, text, data: decode(text, data)


class Values(MutableSequence[Any]):
    """The values of a dictionary, or those of some keys, as a list that can be written to."""

    def __init__(self, of: MutableMapping[Any, Any], keys: Sequence[Any] | None = None) -> None:
        self._of, self._keys = of, list(of if keys is None else keys)

    def __len__(self) -> int:
        return len(self._keys)

    def __getitem__(self, at: Any) -> Any:
        return self._of[self._keys[at]]

    def __setitem__(self, at: Any, value: Any) -> None:
        self._of[self._keys[at]] = value

    def __delitem__(self, at: Any) -> None:
        del self._of[self._keys.pop(at)]

    def insert(self, index: int, value: Any) -> None:
        """Refuse: a value without a key has no place."""
        raise TypeError


@dataclass(slots=True)
class _Held:
    """One item: the note it is, and what was written of it (None: it could not be)."""

    id: str
    item: Any
    written: str | None


class Shelf:
    """What one store keeps, and which notes these are. They are notes of the agent that used the store first."""

    def __init__(self, name: str, owner: Agent, keeper: Keeper) -> None:
        self.name, self.owner, self._keeper, self._lock = name, owner, keeper, threading.Lock()
        self._held: dict[str, list[_Held]] = {}
        self._stamp: int | None = None
        self._unsent: tuple[dict[str, dict[str, Any]], set[str]] = ({}, set())
        #: What others did that is not in the store yet, by note; None: removed.
        self._due: dict[str, Mapping[str, Any] | None] = {}

    def held(self, name: str) -> list[Any]:
        """The items of a list as they were told last."""
        with self._lock:
            return [held.item for held in self._held.get(name, ())]

    def look(self) -> MemoryCall | None:
        """Ask what was changed in the memory; None before anything is there."""
        return None if self._stamp is None else self._call({}, set())

    def tell(self, store: Any, told: Mapping[str, Any], by: str) -> MemoryCall | None:
        """Tell the memory what has changed in the store since the last time, and by whom; None where nothing has."""
        with self._lock:
            put, gone = self._unsent
            self._unsent = ({}, set())
            for name, items in self._all(self._keeper.lists(store, told)).items():
                self._compare(name, list(items), put, gone, by)
            if not put and not gone:
                return None
        return self._call(put, gone)

    def take(self, store: Any, answer: Mapping[str, Any], told: Mapping[str, Any]) -> None:
        """Bring what others changed in the memory into the store; what is of a list that `told` is not about waits for it."""
        self._stamp = answer["stamp"]
        again = self._keeper.again()
        if again is None:
            return
        with self._lock:
            self._due.update({note["id"]: note for note in answer["changed"]})
            self._due.update(dict.fromkeys(answer["removed"]))
            if not self._due:
                return
            lists = self._keeper.lists(store, told)
            places = {held.id: (name, held) for name, all_held in self._held.items() for held in all_held}
            done = False
            for id_ in list(self._due):
                name, held = places.get(id_, ("", None))
                if held is None or name in lists:
                    note = self._due.pop(id_)
                    done |= held is not None and self._change(lists[name], held, note, again)
        if done:
            self._keeper.changed(store)

    def failed(self, call: MemoryCall) -> None:
        """Tell again next time what could not be told."""
        with self._lock:
            put, gone = self._unsent
            put.update({item["id"]: item for item in call.arguments["put"]})
            gone.update(call.arguments["remove"])

    def renew_lock(self) -> None:
        """Have a lock of this process's own."""
        self._lock = threading.Lock()

    def _call(self, put: dict[str, dict[str, Any]], gone: set[str]) -> MemoryCall:
        return MemoryCall(
            verb="sync",
            agent=self.owner,
            arguments={
                "shelf": self.name,
                "source": self.name,
                "after": self._stamp,
                "put": list(put.values()),
                "remove": sorted(gone),
            },
        )

    def _compare(self, name: str, items: list[Any], put: dict[str, dict[str, Any]], gone: set[str], by: str) -> None:
        before = self._held.get(name, [])
        same = next(
            (at for at, (held, item) in enumerate(zip(before, items, strict=False)) if held.item is not item), None
        )
        same = min(len(before), len(items)) if same is None else same
        after = before[:same]
        if after and after[-1].written is not None:  # an item may grow as long as it is the last
            written = self._written(after[-1].item)
            if written is not None and written != after[-1].written:
                after[-1] = _Held(after[-1].id, after[-1].item, written)
                put[after[-1].id] = self._note(after[-1], name, by)
        others: dict[int, list[_Held]] = {}  # an object can be in a list twice
        for held in before[same:]:
            others.setdefault(id(held.item), []).append(held)
        for item in items[same:]:
            known = others.get(id(item))
            held = known.pop(0) if known else None
            if held is None:
                held = _Held(uuid.uuid4().hex, item, self._written(item))
                if held.written is not None:
                    put[held.id] = self._note(held, name, by)
            after.append(held)
        for held in (held for left in others.values() for held in left):
            put.pop(held.id, None)
            if held.written is not None:
                gone.add(held.id)
        self._held[name] = after

    def _all(self, lists: Mapping[str, Sequence[Any]]) -> Mapping[str, Sequence[Any]]:
        gone = [name[:-1] for name in lists if name.endswith("*")]
        if not gone:
            return lists
        missing = {name: () for name in self._held if name.startswith(tuple(gone))}
        return {**missing, **{name: items for name, items in lists.items() if not name.endswith("*")}}

    def _written(self, item: Any) -> str | None:
        try:
            text, data = self._keeper.encode(item)
            written = json.dumps([text, data])
        except Exception:  # noqa: BLE001 - whatever a program keeps in a store of its own, it goes on having
            log.warning(
                "an item of %s cannot be kept in the kernel's memory, only in the program's own",
                self.name,
                exc_info=True,
            )
            return None
        if len(written) > LARGEST:
            log.warning("an item of %s is too large for the kernel's memory: %d characters", self.name, len(written))
            return None
        return written

    def _note(self, held: _Held, name: str, by: str) -> dict[str, Any]:
        text, data = json.loads(held.written or "")
        metadata = {"list": name, "data": json.dumps(data)}
        if by != self.owner.name:
            metadata["by"] = by
        if _storable(text) != text:
            metadata["text"] = json.dumps(text)
        return {"id": held.id, "text": _storable(text), "metadata": metadata}

    def _change(
        self,
        items: Sequence[Any],
        held: _Held,
        note: Mapping[str, Any] | None,
        again: Callable[[Any, str, Any], Any],
    ) -> bool:
        """Do to the store's own list what was done to a note; return whether anything was."""
        place = next((place for place, item in enumerate(items) if item is held.item), None)
        if place is None or not isinstance(items, MutableSequence):
            return False
        if note is None:
            del items[place]  # it stays held until the next look at the list: the note may be there again by now
            return True
        try:
            text, data = _text(note), json.loads(note["metadata"]["data"])
            if json.dumps([text, data]) == held.written:
                return False
            item = again(held.item, text, data)
        except Exception:  # noqa: BLE001 - a note may be anybody's, and say anything
            log.warning("what was changed in a note of %s cannot be read back", self.name, exc_info=True)
            return False
        items[place] = item
        held.item, held.written = item, self._written(item)
        return True


def _storable(text: str) -> str:
    """A text without the halves of characters that Python has and no file does."""
    return text.encode("utf-8", "replace").decode()


def _text(note: Mapping[str, Any]) -> str:
    exact = note["metadata"].get("text")
    return json.loads(exact) if exact is not None and note["text"] == _storable(json.loads(exact)) else note["text"]


class Shelves:
    """The shelves of a session's stores."""

    def __init__(self) -> None:
        self.run = uuid.uuid4().hex[:8]
        self.lock = threading.Lock()
        self._shelves: dict[int, dict[str, Shelf]] = {}
        self._count = 0

    def renew_locks(self) -> None:
        """Forget, in a forked child, what threads of the parent hold."""
        self.lock = threading.Lock()
        for shelf in (shelf for parts in self._shelves.values() for shelf in parts.values()):
            shelf.renew_lock()

    def of(self, store: Any, keeper: Keeper, owner: Agent, part: str = "") -> Shelf | None:
        """The shelf of a store, or of a part of it; None for an object that cannot be told from the next at its address."""
        with self.lock:
            parts = self._shelves.get(id(store))
            if parts is None:
                try:
                    weakref.finalize(store, self._shelves.pop, id(store), None).atexit = False
                except TypeError:
                    return None
                parts = self._shelves[id(store)] = {}
            if part not in parts:
                self._count += 1
                parts[part] = Shelf(f"{self.run}/{type(store).__name__}/{self._count}", owner, keeper)
            return parts[part]
