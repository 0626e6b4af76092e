"""Shelves: a store's items are notes, whatever is done to either side; trouble with one item stays with that item."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from typing import Any

import pytest

import aios_adapters
from aios_adapters.calls import Store
from aios_adapters.shelves import Keeper
from aios_kernel import Agent, Kernel, MemoryCall
from aios_kernel.errors import AccessDenied
from aios_kernel.memory import MemoryManager


class Box:
    """A store as frameworks have them: lists of objects by name."""

    def __init__(self) -> None:
        self.lists: dict[str, list[Item]] = {}


class Item:
    def __init__(self, text: str) -> None:
        self.text = text


def _decode(text: str, data: Any) -> Item:
    if text == "nonsense":
        raise ValueError(text)
    return Item(text)


_store = Store(
    "context",
    lambda box: Keeper(
        lambda box, told: {told["name"]: box.lists.setdefault(told["name"], [])},
        lambda item: (item.text, None),
        _decode,
    ),
)


def _named(args: tuple[Any, ...], kwargs: Any) -> dict[str, Any]:
    return {"name": args[0]}


def _texts(box: Box, name: str) -> list[str]:
    return [item.text for item in box.lists[name]]


def _add(box: Box, name: str, *items: Item) -> None:
    box.lists.setdefault(name, []).extend(items)


def _clear(box: Box, name: str) -> None:
    box.lists[name].clear()


add = _store.plain("add", _named)(_add)
texts = _store.plain("list", _named)(_texts)
clear = _store.plain("remove", _named)(_clear)


class Refusals(list[str]):
    """The verbs that the access check refuses."""

    def __call__(self, call: Any, process: object) -> None:
        if getattr(call, "verb", None) in self:
            raise AccessDenied(call.verb)


@pytest.fixture
def refused() -> Refusals:
    return Refusals()


@pytest.fixture
def kernel(refused: Refusals) -> Iterator[Kernel]:
    kernel = Kernel(managers=[MemoryManager("memory", budget=2000)], checks=(refused,))
    aios_adapters.enable(kernel=kernel, memory=True)
    yield kernel
    aios_adapters.disable()
    kernel.close()


def _ask(kernel: Kernel, verb: Any, owner: str = "root", **arguments: Any) -> Any:
    with kernel.syscall(MemoryCall(agent=Agent(name=owner), verb=verb, arguments=arguments)) as grant:
        return grant.reply().data


def _notes(kernel: Kernel) -> dict[str, str]:
    return {note["text"]: note["id"] for note in _ask(kernel, "list", limit=1000)["notes"]}


def test_a_change_waits_until_its_list_is_looked_at(kernel: Kernel) -> None:
    """What was changed in one list's notes is not lost when another list is used first."""
    box = Box()
    add(box, "a", Item("one"), Item("two"))
    add(box, "b", Item("three"))
    notes = _notes(kernel)
    _ask(kernel, "update", id=notes["one"], text="first")
    _ask(kernel, "remove", id=notes["two"])
    assert texts(box, "b") == ["three"]
    assert texts(box, "a") == ["first"]
    assert set(_notes(kernel)) == {"first", "three"}


def test_a_note_that_says_nonsense_is_not_read_back(kernel: Kernel, caplog: pytest.LogCaptureFixture) -> None:
    """The program keeps the item that it has, hears of it in the log, and goes on."""
    box = Box()
    add(box, "a", Item("one"))
    with caplog.at_level(logging.WARNING):
        _ask(kernel, "update", id=_notes(kernel)["one"], text="nonsense")
        assert texts(box, "a") == ["one"]
    assert "cannot be read back" in caplog.text
    _ask(kernel, "update", id=_notes(kernel)["nonsense"], text="uno", metadata={"of": "mine"})
    assert texts(box, "a") == ["one"]  # its data is gone
    assert add(box, "a", Item("two")) is None
    assert set(_notes(kernel)) == {"uno", "two"}


def test_an_object_that_is_in_a_list_twice(kernel: Kernel) -> None:
    """Both places are notes, and both notes are gone with them."""
    box, item = Box(), Item("twice")
    add(box, "a", item, item)
    assert len(_ask(kernel, "list")["notes"]) == 2
    clear(box, "a")
    assert _notes(kernel) == {}


def test_what_could_not_be_told_is_told_as_it_is_then(kernel: Kernel, refused: Refusals) -> None:
    """An item that came while the memory refused, and has gone since, leaves no note."""
    box = Box()
    refused.append("sync")
    for text in ("gone", "kept"):
        with pytest.raises(AccessDenied):
            add(box, "a", Item(text))
    del box.lists["a"][0]
    refused.clear()
    assert texts(box, "a") == ["kept"]
    assert set(_notes(kernel)) == {"kept"}


def test_among_very_many_changes(kernel: Kernel) -> None:
    """Edits and removals are read back also when thousands of notes of others have changed since."""
    box = Box()
    add(box, "a", Item("one"), Item("two"))
    notes = _notes(kernel)
    _ask(kernel, "update", id=notes["one"], text="first")
    many: list[Any] = [{"id": str(number), "text": "", "metadata": {}} for number in range(2500)]
    _ask(kernel, "sync", "other", shelf="other", put=many)
    _ask(kernel, "remove", id=notes["two"])
    assert texts(box, "a") == ["first"]
