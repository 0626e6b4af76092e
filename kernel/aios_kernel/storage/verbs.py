"""The verbs of storage calls: each with its arguments, the right it takes and what it does."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from aios_kernel.errors import FileMissing, StorageError
from aios_kernel.storage.arguments import Arguments, shown
from aios_kernel.storage.mounting import find_collection, mount, read_any, retrieve
from aios_kernel.storage.paths import joined, parts_of
from aios_kernel.storage.plain import delete_tree, listed

if TYPE_CHECKING:
    from aios_kernel.abi import Agent
    from aios_kernel.storage.records import Version
    from aios_kernel.storage.roots import Root
    from aios_kernel.storage.store import Store

__all__ = ["VERBS"]

PARTS = tuple[str, ...]
MAX_LISTED = 10_000
MAX_FOUND = 100


def _create_file(store: Store, agent: Agent, given: Arguments) -> dict[str, Any]:
    root, parts = _where(store, agent, given, "write")
    version = store.files.write(root, parts, given.content(), agent=agent.name, expected=0)
    return _changed(parts, version)


def _create_directory(store: Store, agent: Agent, given: Arguments) -> dict[str, Any]:
    root, parts = _where(store, agent, given, "write")
    with store.roots.jail(root) as jail:
        made = jail.make_directory(parts)
    if not made and not given.flag("exist_ok"):
        raise StorageError(f"directory {joined(parts)!r} exists")
    return {"path": joined(parts), "created": made}


def _write(store: Store, agent: Agent, given: Arguments) -> dict[str, Any]:
    root, parts = _where(store, agent, given, "write")
    version = store.files.write(
        root,
        parts,
        given.content(),
        agent=agent.name,
        expected=given.whole("expected_version", None, least=0),
        append=given.flag("append"),
    )
    return _changed(parts, version)


def _read(store: Store, agent: Agent, given: Arguments) -> dict[str, Any]:
    root, parts = _where(store, agent, given, "read")
    number, encoding = given.whole("version", None, least=1), given.encoding("")
    if number is None or root.kind == "mount":
        return read_any(store, root, parts, encoding)
    data, version = store.files.read_version(root, parts, number)
    return {"path": joined(parts), **shown(data, encoding), **version.described()}


def _mount(store: Store, agent: Agent, given: Arguments) -> dict[str, Any]:
    root, parts = _where(store, agent, given, "read", whole=True)
    return mount(store, agent, given.text("collection"), root, parts)


def _retrieve(store: Store, agent: Agent, given: Arguments) -> list[dict[str, Any]]:
    query, keywords = given.text("query", ""), given.texts("keywords", ())
    k = given.whole("k", 3, least=1)
    if not query.strip() and not any(word.strip() for word in keywords):
        raise StorageError("storage retrieve needs a query or keywords")
    name = given.text("collection", "")
    if name:
        root, parts = find_collection(store, agent, name)
        store.shares.check(agent, "read", root, parts)
    else:
        root, parts = _where(store, agent, given, "read", whole=True)
    return retrieve(store, root, parts, query, keywords, min(k, MAX_FOUND))


def _rollback(store: Store, agent: Agent, given: Arguments) -> dict[str, Any]:
    root, parts = _where(store, agent, given, "write")
    n, moment = given.whole("n", None, least=1), given.time("time")
    number = given.whole("version", None, least=1)
    if sum(one is not None for one in (n, moment, number)) > 1:
        raise StorageError("storage rollback takes one of n, time and version")
    back = n or 1

    def choose(versions: list[Version]) -> Version:
        if number is not None:
            fitting = [one for one in versions if one.number == number]
        elif moment is not None:
            fitting = [one for one in versions if one.time <= moment]
        else:
            fitting = versions[back : back + 1]
        if not fitting:
            raise FileMissing(f"{joined(parts)!r} has no such version; kept: {_kept(versions)}")
        return fitting[0]

    version = store.files.rollback(
        root, parts, choose, agent=agent.name, expected=given.whole("expected_version", None, least=0)
    )
    return _changed(parts, version)


def _share(store: Store, agent: Agent, given: Arguments) -> dict[str, Any]:
    root = store.roots.find(agent, given.text("root", ""))
    parts = parts_of(given.text("path"), root=True)
    store.shares.owned(agent, root)
    with store.roots.jail(root) as jail:
        if next(listed(store, root, parts, deep=False), None) is None and parts:
            with jail.directory(parts):
                pass
    rights = given.texts("rights", ("read",))
    return store.shares.give(agent, root, parts, given.text("to"), rights, given.seconds("seconds"))


def _revoke(store: Store, agent: Agent, given: Arguments) -> dict[str, Any]:
    return store.shares.revoke(agent, given.text("id"))


def _shares(store: Store, agent: Agent, given: Arguments) -> dict[str, Any]:
    root = store.roots.find(agent, given.text("root", ""))
    store.shares.owned(agent, root)
    return store.shares.of(agent, root)


def _delete(store: Store, agent: Agent, given: Arguments) -> dict[str, Any]:
    root, parts = _where(store, agent, given, "delete")
    expected = given.whole("expected_version", None, least=0)
    with store.roots.jail(root) as jail:
        directory = jail.is_directory(parts)
    if directory:
        count = delete_tree(store, root, parts, agent.name, recursive=given.flag("recursive"))
        return {"path": joined(parts), "files": count}
    version = store.files.delete(root, parts, agent=agent.name, expected=expected)
    return {**_changed(parts, version), "files": 1}


def _list(store: Store, agent: Agent, given: Arguments) -> dict[str, Any]:
    root, parts = _where(store, agent, given, "read", whole=True)
    limit = min(given.whole("limit", 1000, least=1), MAX_LISTED)
    after = given.text("after", "")
    entries = listed(store, root, parts, deep=given.flag("recursive"))
    found = sorted((entry for entry in entries if entry["path"] > after), key=lambda entry: entry["path"])
    return {"entries": found[:limit], "more": len(found) > limit}


def _history(store: Store, agent: Agent, given: Arguments) -> list[dict[str, Any]]:
    root, parts = _where(store, agent, given, "read")
    if root.kind == "mount":
        raise StorageError(f"{root.label!r} is a directory of the host: its files have no versions")
    return [version.described() for version in store.files.history(root, parts)]


def _where(store: Store, agent: Agent, given: Arguments, right: str, *, whole: bool = False) -> tuple[Root, PARTS]:
    """The root and path that a call names, once the agent is known to have the right there."""
    root = store.roots.find(agent, given.text("root", ""))
    parts = parts_of(given.text("path", "") if whole else given.text("path"), root=whole)
    store.shares.check(agent, right, root, parts)
    return root, parts


def _changed(parts: PARTS, version: Version) -> dict[str, Any]:
    return {"path": joined(parts), **version.described()}


def _kept(versions: list[Version]) -> str:
    return f"{versions[-1].number} to {versions[0].number}" if versions else "none"


Verb = Callable[["Store", "Agent", Arguments], Any]

#: Each verb, what does it and the arguments it takes.
VERBS: dict[str, tuple[Verb, tuple[str, ...]]] = {
    "create_file": (_create_file, ("path", "content", "encoding", "root")),
    "create_directory": (_create_directory, ("path", "exist_ok", "root")),
    "write": (_write, ("path", "content", "encoding", "append", "expected_version", "root")),
    "read": (_read, ("path", "version", "encoding", "root")),
    "mount": (_mount, ("collection", "path", "root")),
    "retrieve": (_retrieve, ("query", "keywords", "k", "collection", "path", "root")),
    "rollback": (_rollback, ("path", "n", "time", "version", "expected_version", "root")),
    "share": (_share, ("path", "to", "rights", "seconds", "root")),
    "revoke": (_revoke, ("id",)),
    "shares": (_shares, ("root",)),
    "delete": (_delete, ("path", "recursive", "expected_version", "root")),
    "list": (_list, ("path", "recursive", "limit", "after", "root")),
    "history": (_history, ("path", "root")),
}
