"""Collections: directories by a name of their owner's, to be searched in; those of the host are indexed when mounted."""

from __future__ import annotations

import stat
from typing import TYPE_CHECKING, Any

from aios_kernel.errors import FileMissing, StorageError, SyscallError
from aios_kernel.storage.arguments import shown
from aios_kernel.storage.paths import joined, parts_of
from aios_kernel.storage.staging import signature

if TYPE_CHECKING:
    from collections.abc import Sequence

    from aios_kernel.abi import Agent
    from aios_kernel.storage.roots import Root
    from aios_kernel.storage.store import Store

__all__ = ["find_collection", "mount", "read_any", "retrieve"]

PARTS = tuple[str, ...]
EXCERPT = 2000  # characters of a hit's content


def mount(store: Store, agent: Agent, name: str, root: Root, parts: PARTS) -> dict[str, Any]:
    """Give a directory a name; what the host changed there since the last time is indexed anew."""
    if not name or len(name) > 200 or not name.isprintable():
        raise StorageError(f"{name!a} cannot name a collection: use 1 to 200 printable characters")
    with store.roots.jail(root) as jail, jail.directory(parts):
        pass
    query = "INSERT OR REPLACE INTO collections (owner, name, root, path) VALUES (?, ?, ?, ?)"
    values = (agent.name, name, root.id, joined(parts))
    store.database.transact(lambda connection: connection.execute(query, values))
    files = _refresh(store, root, parts)
    return {"collection": name, "root": root.label, "path": joined(parts), "files": files}


def find_collection(store: Store, agent: Agent, name: str) -> tuple[Root, PARTS]:
    """Where a collection of the agent's begins."""
    row = store.database.row("SELECT root, path FROM collections WHERE owner = ? AND name = ?", agent.name, name)
    root = store.roots.by_id(row["root"]) if row else None
    if row is None or root is None:
        raise FileMissing(f"agent {agent.name!r} has mounted no collection {name!r}")
    return root, parts_of(row["path"], root=True)


def retrieve(
    store: Store, root: Root, parts: PARTS, query: str, keywords: Sequence[str], k: int
) -> list[dict[str, Any]]:
    """The files below a path that fit a query best; each has all keywords."""

    def take(path: str, score: float) -> dict[str, Any] | None:
        found = parts_of(path)
        if found[: len(parts)] != parts:
            return None
        try:
            told = read_any(store, root, found)
        except SyscallError:  # it went, or was swapped, since it was indexed
            return None
        folded = f"{path}\n{told['content']}".casefold()
        if told["encoding"] != "utf-8" or not all(word.casefold() in folded for word in keywords):
            return None
        excerpt = _excerpt(told["content"], (*keywords, *query.split()))
        return {"path": path, "root": root.label, "score": score, "version": told["version"], "content": excerpt}

    return store.indexer.search(root, query or " ".join(keywords), k, take)


def read_any(store: Store, root: Root, parts: PARTS, encoding: str = "") -> dict[str, Any]:
    """A file's content as plain data, also from the host, whose files have no versions."""
    if root.kind != "mount":
        data, version = store.files.read(root, parts)
        return {"path": joined(parts), **shown(data, encoding), **version.described()}
    with store.roots.jail(root) as jail:
        data, status = jail.read(parts, store.files.max_bytes)
    told = {"path": joined(parts), **shown(data, encoding), "size": len(data)}
    return {**told, "version": 0, "time": status.st_mtime}


def _refresh(store: Store, root: Root, parts: PARTS) -> int:
    """Count the files; those of the host, and those that others put into a root, are indexed where they changed."""
    known = store.records.signatures(root.id)
    present: set[str] = set()
    with store.roots.jail(root) as jail:
        found = [(below, status) for below, status in jail.walk(parts, deep=True) if stat.S_ISREG(status.st_mode)]
        for below, status in found:
            path = joined(below)
            present.add(path)
            if known.get(path) != signature(status):
                _index(store, root, below)
    if root.kind == "mount":
        gone = [path for path in known if path not in present and parts_of(path)[: len(parts)] == parts]
        for path in gone:
            entry = store.records.note(root.id, path, None)
            store.indexer.changed(root, entry, None)
            store.records.forget(entry)
    return len(found)


def _index(store: Store, root: Root, parts: PARTS) -> None:
    try:
        parts_of(joined(parts))
        if root.kind != "mount":
            store.files.mend(root, parts)  # what others wrote becomes a version, and so is indexed
            return
        with store.roots.jail(root) as jail:
            data, status = jail.read(parts, store.files.max_bytes)
        store.indexer.changed(root, store.records.note(root.id, joined(parts), signature(status)), data)
    except SyscallError:  # a name or a file that could not be read through a call either
        return


def _excerpt(content: str, words: Sequence[str]) -> str:
    """The part of a text where the first of the words is."""
    if len(content) <= EXCERPT:
        return content
    folded = content.casefold()
    places = [place for word in words if (place := folded.find(word.casefold())) >= 0]
    begin = max(0, min(places, default=0) - EXCERPT // 4)
    return content[begin : begin + EXCERPT]
