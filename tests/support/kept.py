"""A kernel whose memory also has what frameworks keep in their own, and looks into it."""

from __future__ import annotations

from typing import Any

import pytest

from aios_kernel import Agent, Kernel, MemoryCall
from aios_kernel.memory import MemoryManager

__all__ = ["ask", "edit", "kept_kernel", "notes", "texts"]


@pytest.fixture
def kept_kernel(enabled):
    """A kernel with a memory so small that most of it is put out, under everything."""
    kernel = Kernel(managers=[MemoryManager("memory", budget=2000)])
    enabled(kernel=kernel, memory=True)
    yield kernel
    kernel.close()


def ask(kernel: Kernel, verb: Any, owner: str = "root", **arguments: Any) -> Any:
    """Call the memory as an agent, as its own tools do."""
    with kernel.syscall(MemoryCall(agent=Agent(name=owner), verb=verb, arguments=arguments)) as grant:
        return grant.reply().data


def notes(kernel: Kernel, owner: str = "root", **where: Any) -> list[dict[str, Any]]:
    """An agent's notes in the order in which they came."""
    return ask(kernel, "list", owner, limit=1000, where=where or None)["notes"]


def texts(kernel: Kernel, owner: str = "root") -> list[str]:
    """What an agent's notes say."""
    return [note["text"] for note in notes(kernel, owner)]


def edit(kernel: Kernel, note: dict[str, Any], text: str, owner: str = "root") -> None:
    """Write another text into a note, and leave the rest of it."""
    ask(kernel, "update", owner, id=note["id"], text=text)
