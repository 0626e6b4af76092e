"""Stores by name: those of the kernel, those of the entry-point group `aios.stores`, and store objects as they are."""

from __future__ import annotations

import os
from importlib.metadata import entry_points
from typing import TYPE_CHECKING, Any

from aios_kernel.errors import ConfigError, UnknownName
from aios_kernel.store.memory import MemoryStore
from aios_kernel.store.sqlite import SQLiteStore

if TYPE_CHECKING:
    from collections.abc import Callable

    from aios_kernel.store.base import Store

__all__ = ["make_store", "store_names"]

GROUP = "aios.stores"
BUILT_IN = ("memory", "sqlite")


def store_names() -> list[str]:
    """Names that `make_store` knows."""
    return sorted({*BUILT_IN, *(entry.name for entry in entry_points(group=GROUP))})


def make_store(spec: Store | str | os.PathLike[str]) -> Store:
    """Return the store for a spec: an object, a file's path, "memory" (or SQLite's ":memory:"), "sqlite:PATH", or "NAME:PATH" of an entry point.

    Raises `UnknownName` and `ConfigError`; a path whose beginning looks like a name is written as "./NAME:PATH".
    """
    if isinstance(spec, os.PathLike):
        return SQLiteStore(spec)
    if not isinstance(spec, str):
        return spec
    if spec in ("memory", ":memory:"):
        return MemoryStore()
    name, _, path = spec.partition(":")
    if not path or not name.isidentifier() or len(name) == 1:  # one letter is a drive
        return SQLiteStore(spec)
    return SQLiteStore(path) if name == "sqlite" else _factory(name)(path)


def _factory(name: str) -> Callable[[str], Store]:
    for entry in entry_points(group=GROUP, name=name):
        try:
            found: Any = entry.load()
        except Exception as error:
            raise ConfigError(
                f"the store {name!r} of entry point {entry.value!r} cannot be loaded: {error!r}"
            ) from error
        return found
    raise UnknownName("store", name, store_names())
