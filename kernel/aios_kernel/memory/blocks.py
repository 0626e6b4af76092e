"""The blocks of all agents, kept up with what this and other processes write to the store."""

from __future__ import annotations

import threading
from collections import OrderedDict
from typing import TYPE_CHECKING, Any

from aios_kernel.memory.block import Block

if TYPE_CHECKING:
    from aios_kernel.store import Store

__all__ = ["PREFIX", "Blocks"]

PREFIX = "memory:"  # of the collection of each agent's notes
AT_ONCE = 1000  # changes
MOST = 4096  # agents whose notes are in memory


class Blocks:
    """One block per agent. Safe among threads."""

    def __init__(self, store: Store, budget: int, k: int) -> None:
        self._store, self._budget, self._k = store, budget, k
        self._lock = threading.Lock()
        self._following = threading.Lock()
        self._blocks: OrderedDict[str, Block] = OrderedDict()
        self._stamp = store.stamp()

    def of(self, owner: str) -> Block:
        """An agent's block, as new as all that was written when this was called."""
        block = self._take(owner)
        self._follow()
        return block

    def status(self) -> dict[str, dict[str, Any]]:
        """What is in memory, by agent."""
        with self._lock:
            blocks = list(self._blocks.items())
        return {
            owner: {
                "notes": len(block),
                "bytes": block.bytes,
                "budget": block.budget,
                "hits": block.hits,
                "misses": block.misses,
                "put_out": block.put_out,
            }
            for owner, block in blocks
        }

    def after_fork(self) -> None:
        """Begin anew: the parent's locks may be held for ever."""
        self._lock, self._following, self._blocks = threading.Lock(), threading.Lock(), OrderedDict()

    def _take(self, owner: str) -> Block:
        with self._lock:
            block = self._blocks.get(owner)
            if block is None:
                block = self._blocks[owner] = Block(self._budget, self._k)
            self._blocks.move_to_end(owner)
            if len(self._blocks) > MOST:
                self._let_go()
            return block

    def _let_go(self) -> None:
        """Drop the block that was not asked for the longest and is not in use."""
        # Whoever is about to use it goes on with it alone; what it has is in the store.
        name = next((name for name, block in self._blocks.items() if not block.lock.locked()), None)
        if name is not None:
            del self._blocks[name]

    def _follow(self) -> None:
        with self._following:
            newest = self._store.stamp()
            while self._stamp < newest:
                changes = self._store.changes(self._stamp, AT_ONCE)
                if changes is None:
                    for block in self._all():
                        block.clear()
                    self._stamp = newest
                    return
                if not changes:
                    self._stamp = newest  # what was changed then has been changed again since, or was no record
                    return
                for change in changes:
                    block = self._blocks.get(change.collection.removeprefix(PREFIX))
                    if block is not None and change.collection.startswith(PREFIX):
                        block.changed(change.id, change.version)
                self._stamp = changes[-1].stamp

    def _all(self) -> list[Block]:
        with self._lock:
            return list(self._blocks.values())
