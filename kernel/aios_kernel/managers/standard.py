"""The managers of an ordinary kernel: memory, files and tools below one folder."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, cast

from aios_kernel.embedding import make_embedder
from aios_kernel.managers.lazy import LazyManager
from aios_kernel.toolkit import DirectoryResults, ToolManager

if TYPE_CHECKING:
    import os

    from aios_kernel.abi import Agent, Call
    from aios_kernel.access import AccessManager
    from aios_kernel.embedding import Embedder
    from aios_kernel.gate import Gate
    from aios_kernel.managers.base import Manager
    from aios_kernel.memory import MemoryManager
    from aios_kernel.storage import StorageManager

__all__ = ["standard_managers"]


def standard_managers(
    folder: str | os.PathLike[str], *, access: AccessManager | None = None, embedder: Embedder | str | None = None
) -> tuple[Manager, ...]:
    """Make a memory, a storage and a tool manager that keep what they keep below a folder.

    Nothing is written there before the first call that needs it. With an access manager, its policy opens notes and
    files to others, and it is told which tools are destructive and whether a write overwrites. `embedder` is that of the
    memory: see `make_embedder`.
    """
    if isinstance(embedder, str):
        make_embedder(embedder, lambda: cast("Gate", None))  # a name that does not exist is told now
    base = Path(folder).expanduser().absolute()

    def memory() -> MemoryManager:
        from aios_kernel.memory import MemoryManager

        allowed = None if access is None else access.allowed
        return MemoryManager(_made(base) / "memory.db", allowed=allowed, embedder=embedder)

    def storage() -> StorageManager:
        from aios_kernel.storage import StorageManager

        if access is None:
            return StorageManager(_made(base) / "files")
        return StorageManager(_made(base) / "files", allow=access.allow, groups=access.groups)

    files = LazyManager("storage", storage)

    def exists(call: Call, agent: str) -> bool:
        return files.manager.exists(call, agent)

    tools = ToolManager(results=_Results(base))
    if access is not None:
        access.learn(marks=tools.marks, exists=exists)
    return LazyManager("memory", memory), files, tools


class _Results:
    """Keep results of tools in a folder that is made for the first of them."""

    def __init__(self, base: Path) -> None:
        self._base = base
        self._kept: DirectoryResults | None = None

    def put(self, agent: Agent, text: str) -> str:
        """Keep a text and return its reference."""
        return self._directory().put(agent, text)

    def get(self, agent: Agent, reference: str) -> str:
        """The text behind an agent's reference."""
        return self._directory().get(agent, reference)

    def _directory(self) -> DirectoryResults:
        if self._kept is None:  # two threads may both make one: the folder is the same
            self._kept = DirectoryResults(_made(self._base) / "results")
        return self._kept


def _made(folder: Path) -> Path:
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    return folder
