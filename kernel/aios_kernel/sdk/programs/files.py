"""Files: in the agent's root, or in `root` ("agent:NAME", "group:NAME", "mount:NAME") where that is allowed."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING, Any

from aios_kernel.abi import Reply, StorageCall
from aios_kernel.agents.steps import Program, Step

if TYPE_CHECKING:
    from collections.abc import Sequence

    from aios_kernel.abi import Agent

__all__ = [
    "create_dir",
    "create_file",
    "mount",
    "read_file",
    "retrieve_file",
    "rollback_file",
    "share_file",
    "write_file",
]

Data = dict[str, Any]


def mount(agent: Agent | None, collection: str, path: str = "", *, root: str | None = None) -> Program[Data]:
    """Name a directory to search in, and take in what others changed there."""
    return (yield from _asked(agent, "mount", collection=collection, path=path, root=root))


def create_file(agent: Agent | None, path: str, content: str | bytes = "", *, root: str | None = None) -> Program[Data]:
    """Make a file and return its version; an error where there is one."""
    return (yield from _asked(agent, "create_file", path=path, root=root, **_content(content)))


def create_dir(agent: Agent | None, path: str, *, exist_ok: bool = False, root: str | None = None) -> Program[Data]:
    """Make a directory, and those above it."""
    return (yield from _asked(agent, "create_directory", path=path, exist_ok=exist_ok, root=root))


def write_file(
    agent: Agent | None,
    path: str,
    content: str | bytes,
    *,
    append: bool = False,
    expected_version: int | None = None,
    root: str | None = None,
) -> Program[Data]:
    """Write a file and return its version; with `expected_version` only if the file is still at it (0: not there)."""
    given = {"append": append, "expected_version": expected_version, "root": root}
    return (yield from _asked(agent, "write", path=path, **_content(content), **given))


def read_file(agent: Agent | None, path: str, *, version: int | None = None, root: str | None = None) -> Program[Data]:
    """Return a file's `content`, `encoding` ("base64" for what is no text) and version."""
    return (yield from _asked(agent, "read", path=path, version=version, root=root))


def retrieve_file(
    agent: Agent | None,
    query: str,
    k: int = 3,
    keywords: Sequence[str] = (),
    *,
    collection: str | None = None,
    path: str | None = None,
    root: str | None = None,
) -> Program[list[Data]]:
    """Find files by what they say, best first; each hit has all `keywords`."""
    given = {"keywords": list(keywords) or None, "collection": collection, "path": path, "root": root}
    return (yield from _asked(agent, "retrieve", query=query, k=k, **given))


def rollback_file(
    agent: Agent | None,
    path: str,
    n: int | None = None,
    time: float | str | None = None,
    *,
    version: int | None = None,
    root: str | None = None,
) -> Program[Data]:
    """Go back `n` versions (1 if nothing is said), to what a file was at a time, or to a version."""
    return (yield from _asked(agent, "rollback", path=path, n=n, time=time, version=version, root=root))


def share_file(
    agent: Agent | None,
    path: str,
    to: str,
    rights: Sequence[str] = ("read",),
    *,
    seconds: float | None = None,
    root: str | None = None,
) -> Program[Data]:
    """Share a file or directory with "agent:NAME" or "group:NAME", for a while or until it is revoked."""
    given = {"rights": list(rights), "seconds": seconds, "root": root}
    return (yield from _asked(agent, "share", path=path, to=to, **given))


def _content(content: str | bytes) -> dict[str, str]:
    if isinstance(content, str):
        return {"content": content}
    return {"content": base64.b64encode(content).decode("ascii"), "encoding": "base64"}


def _asked(who: Agent | None, verb: str, /, **arguments: Any) -> Program[Any]:
    given = {name: value for name, value in arguments.items() if value is not None}
    reply: Reply = yield Step(StorageCall(agent=who, verb=verb, arguments=given))
    return reply.data
