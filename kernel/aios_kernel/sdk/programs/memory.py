"""Memory: notes of the agent, or of `owner` ("NAME", "group:NAME") where that is allowed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from aios_kernel.abi import MemoryCall, Reply
from aios_kernel.agents.steps import Program, Step

if TYPE_CHECKING:
    from collections.abc import Mapping

    from aios_kernel.abi import Agent

__all__ = ["create_memory", "delete_memory", "get_memory", "search_memories", "update_memory"]

Note = dict[str, Any]
Verb = Literal["add", "get", "update", "remove", "retrieve"]


def create_memory(
    agent: Agent | None,
    text: str,
    metadata: Mapping[str, Any] | None = None,
    *,
    id: str | None = None,  # noqa: A002 - the note's own word
    owner: str | None = None,
) -> Program[Note]:
    """Keep a note and return it, with its id and version."""
    kept = None if metadata is None else dict(metadata)
    return (yield from _asked(agent, "add", text=text, metadata=kept, id=id, agent=owner))["note"]


def get_memory(agent: Agent | None, id: str, *, owner: str | None = None) -> Program[Note]:  # noqa: A002
    """Return a note; raises `NoteMissing`."""
    return (yield from _asked(agent, "get", id=id, agent=owner))["note"]


def update_memory(
    agent: Agent | None,
    id: str,  # noqa: A002
    text: str | None = None,
    metadata: Mapping[str, Any] | None = None,
    *,
    version: int | None = None,
    owner: str | None = None,
) -> Program[Note]:
    """Change a note; with `version` only if it is still at it, else `VersionConflict`."""
    kept = None if metadata is None else dict(metadata)
    asked = _asked(agent, "update", id=id, text=text, metadata=kept, version=version, agent=owner)
    return (yield from asked)["note"]


def delete_memory(
    agent: Agent | None,
    id: str,  # noqa: A002
    *,
    version: int | None = None,
    owner: str | None = None,
) -> Program[bool]:
    """Remove a note; whether there was one."""
    return (yield from _asked(agent, "remove", id=id, version=version, agent=owner))["removed"]


def search_memories(
    agent: Agent | None,
    query: str,
    k: int = 5,
    *,
    where: Mapping[str, Any] | None = None,
    mode: Literal["hybrid", "text", "vector"] | None = None,
    owner: str | None = None,
) -> Program[list[Note]]:
    """Find notes by what they say, best first, each with its `score`."""
    kept = None if where is None else dict(where)
    return (yield from _asked(agent, "retrieve", query=query, k=k, where=kept, mode=mode, agent=owner))["notes"]


def _asked(who: Agent | None, verb: Verb, /, **arguments: Any) -> Program[dict[str, Any]]:
    given = {name: value for name, value in arguments.items() if value is not None}
    reply: Reply = yield Step(MemoryCall(agent=who, verb=verb, arguments=given))
    return reply.data
