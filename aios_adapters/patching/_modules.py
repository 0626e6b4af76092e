"""Modules of ours under a name in somebody else's package, for as long as a session lasts."""

from __future__ import annotations

import sys
from collections.abc import Callable
from types import ModuleType

from aios_adapters.patching._patch import Moved

__all__ = ["AddedModules"]


class AddedModules:
    """Put modules where there are none and take them away again. Not thread-safe: the session's lock is held."""

    def __init__(self) -> None:
        self._added: list[tuple[str, ModuleType]] = []

    def add(self, name: str, make: Callable[[], ModuleType]) -> None:
        """Put a module in place; idempotent. Raises `Moved` when the package has something of that name already."""
        if any(added == name for added, _ in self._added):
            return
        parent, _, last = name.rpartition(".")
        if name in sys.modules or last in vars(sys.modules[parent]):
            raise Moved(f"{name} exists already")
        module = make()
        sys.modules[name] = module
        setattr(sys.modules[parent], last, module)
        self._added.append((name, module))

    def undo(self) -> None:
        """Take every module away that is still ours."""
        for name, module in self._added:
            parent, _, last = name.rpartition(".")
            if sys.modules.get(name) is module:
                del sys.modules[name]
            if parent in sys.modules and vars(sys.modules[parent]).get(last) is module:
                delattr(sys.modules[parent], last)
        self._added = []
