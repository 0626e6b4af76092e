"""Visits: stores that are shared, made of others, used where context does not say by whom, or with items that no note can hold."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

import aios_adapters
from aios_adapters.calls import Visits, amemory_call, memory_call, visit, visits
from aios_adapters.shelves import Keeper
from aios_kernel import Agent, Kernel, MemoryCall
from aios_kernel.memory import MemoryManager


class Item:
    """Something with a part that cannot be written down."""

    def __init__(self, text: str, part: object) -> None:
        self.text, self.part = text, part


class Shop:
    """A store that customers have lists in."""

    def __init__(self) -> None:
        self.lists: dict[str, list[Item]] = {}


_KEEPER = Keeper(
    lambda shop, told: {"items": shop.lists.setdefault(told["name"], [])},
    lambda item: (item.text, None),
    amend=lambda item, text, _: Item(text, item.part),
)


def _visit(shop: Shop, name: str, agent: Agent | None = None) -> Any:
    return visit(shop, lambda _: _KEEPER, lambda: {"name": name}, part=name, agent=agent)


def _call() -> MemoryCall:
    return MemoryCall(verb="list")


@pytest.fixture
def kernel() -> Iterator[Kernel]:
    kernel = Kernel(managers=[MemoryManager("memory", budget=2000)])
    aios_adapters.enable(kernel=kernel, memory=True)
    yield kernel
    aios_adapters.disable()
    kernel.close()


def _ask(kernel: Kernel, verb: Any, owner: str, **arguments: Any) -> Any:
    with kernel.syscall(MemoryCall(agent=Agent(name=owner), verb=verb, arguments=arguments)) as grant:
        return grant.reply().data


def _notes(kernel: Kernel, owner: str) -> dict[str, str]:
    return {note["text"]: note["id"] for note in _ask(kernel, "list", owner, limit=1000)["notes"]}


def test_parts_of_a_store(kernel: Kernel) -> None:
    """Each part's notes are those of who used it first, or of who is said to; others who write there are named."""
    shop = Shop()
    shop.lists = {name: [Item(f"{name}'s", None)] for name in ("ann", "ben")}
    for name in ("ann", "ben"):
        with aios_adapters.agent(name):
            memory_call("context", _call, lambda: None, at=_visit(shop, name))
    shop.lists["ann"].append(Item("a gift", None))
    memory_call("context", _call, lambda: None, at=_visit(shop, "ann", Agent(name="carl")))
    memory_call("context", _call, lambda: None, at=_visit(shop, "dora", Agent(name="dora")))
    shop.lists["dora"].append(Item("dora's", None))
    memory_call("context", _call, lambda: None, at=_visit(shop, "dora"))
    assert [set(_notes(kernel, name)) for name in ("ann", "ben", "carl", "dora")] == [
        {"ann's", "a gift"},
        {"ben's"},
        set(),
        {"dora's"},
    ]
    gift = _ask(kernel, "get", "ann", id=_notes(kernel, "ann")["a gift"])["note"]
    assert (gift["agent"], gift["metadata"]["by"]) == ("carl", "carl")


async def test_a_store_that_is_made_of_stores(kernel: Kernel) -> None:
    """Each of them is told of and read back, with and without an event loop; nothing is where none has a shelf."""
    shops = [Shop(), Shop()]
    at = visits([None, *(_visit(shop, "a") for shop in shops)])
    assert isinstance(at, Visits)
    for number, shop in enumerate(shops):
        shop.lists["a"] = [Item(str(number), shop)]
    memory_call("context", _call, lambda: None, at=at)
    notes = _notes(kernel, "root")
    assert set(notes) == {"0", "1"}
    for text, name in notes.items():
        _ask(kernel, "update", "root", id=name, text=f"{text}!")
    seen = await amemory_call("context", _call, lambda: _texts(shops), at=at)
    assert seen == ["0!", "1!"]
    assert [shop.lists["a"][0].part for shop in shops] == shops
    shops[1].lists["a"].clear()
    await amemory_call("context", _call, lambda: _texts(shops[:1]), at=at)
    assert set(_notes(kernel, "root")) == {"0!"}
    assert visits([None]) is None


async def _texts(shops: list[Shop]) -> list[str]:
    return [shop.lists["a"][0].text for shop in shops]
