"""Post-import hooks: be told when a module has been imported, without importing it."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Sequence
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

__all__ = ["ImportHooks"]

Arrived = Callable[[ModuleType], None]


class ImportHooks:
    """Call `arrived(module)` each time one of `names` has been executed (first import, re-import, reload).

    A finder at the head of `sys.meta_path` while `install`ed; it finds nothing by itself, it only marks the spec that
    the others found. `arrived` runs under the module's import lock and must not import.
    """

    def __init__(self, names: Sequence[str], arrived: Arrived) -> None:
        self._names = frozenset(names)
        self._arrived = arrived
        self._searching = threading.local()

    def install(self) -> None:
        """Begin; idempotent."""
        if self not in sys.meta_path:
            sys.meta_path.insert(0, self)

    def uninstall(self) -> None:
        """End; idempotent."""
        if self in sys.meta_path:
            sys.meta_path.remove(self)

    def find_spec(
        self, fullname: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Let the other finders find the module, and mark what they found."""
        if fullname not in self._names or getattr(self._searching, "on", False):
            return None
        self._searching.on = True
        try:
            spec = _search(self, fullname, path, target)
        finally:
            self._searching.on = False
        if spec is not None and spec.loader is not None:
            self._mark(spec.loader)
        return spec

    def _mark(self, loader: Any) -> None:
        """Have this one loader tell us; it is the module's own and stays what it is for everybody else."""
        native = getattr(loader, "exec_module", None)
        if native is None or isinstance(loader, type):  # built-in modules share one class as their loader
            return

        def exec_module(module: ModuleType) -> None:
            vars(loader).pop("exec_module", None)
            native(module)
            if self in sys.meta_path:
                self._arrived(module)

        try:
            loader.exec_module = exec_module
        except (AttributeError, TypeError):  # a loader without a dictionary: enable() finds the module next time
            return


def _search(
    hooks: ImportHooks, fullname: str, path: Sequence[str] | None, target: ModuleType | None
) -> ModuleSpec | None:
    for finder in list(sys.meta_path):
        find: Any = getattr(finder, "find_spec", None)
        if finder is hooks or find is None:
            continue
        spec = find(fullname, path, target)
        if spec is not None:
            return spec
    return None
