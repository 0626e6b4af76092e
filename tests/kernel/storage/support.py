"""A storage manager on a temporary directory, and short ways to call it."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

from aios_kernel.abi import Agent
from aios_kernel.storage import StorageManager

ANN, BOB, EVE = Agent(name="ann", group="research"), Agent(name="bob", group="research"), Agent(name="eve")


class Time:
    """A wall clock that tests set."""

    def __init__(self, start: float = 1_000_000.0) -> None:
        self.now = start

    def __call__(self) -> float:
        return self.now


class As:
    """One agent's calls: `ann.write(path=..., content=...)`."""

    def __init__(self, manager: StorageManager, agent: Agent = ANN) -> None:
        self.manager = manager
        self.agent = agent

    def __getattr__(self, verb: str):
        def call(**arguments):
            reply = self.manager.perform(self.agent, verb, arguments)
            assert json.loads(json.dumps(reply)) == reply, "a reply has to be plain data"
            return reply

        return call

    def folder(self, label: str = "") -> Path:
        """The directory of the agent's root, or of a named one."""
        store = self.manager.store
        root = store.roots.named(label or f"agent:{self.agent.name}")
        return store.base / "roots" / root.folder


def opened(base: Path, **settings) -> StorageManager:
    """Open a store that need not outlive a power failure."""
    return StorageManager(base, **{"fsync": False, **settings})


def check_integrity(manager: StorageManager) -> None:
    """Everything that must hold of a store in which nothing is under way."""
    store = manager.store
    assert list((store.base / "staging").iterdir()) == [], "unfinished files were left"
    assert store.records.pending() == []
    stored = set(store.objects)
    assert stored == store.records.contents(), "contents without a version, or versions without a content"
    for sha in stored:
        data = store.objects.get(sha)
        assert data is not None
        assert hashlib.sha256(data).hexdigest() == sha
    rows = store.database.rows(
        "SELECT files.root, path, sha, deleted FROM files JOIN versions ON file = files.id AND number = version"
    )
    for row in rows:
        root = store.roots.by_id(row["root"])
        assert root is not None
        place = store.base / "roots" / root.folder / row["path"]
        if row["deleted"]:
            assert not place.is_file()
        else:
            assert hashlib.sha256(place.read_bytes()).hexdigest() == row["sha"]
