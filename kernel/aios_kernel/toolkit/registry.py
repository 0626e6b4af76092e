"""The registry: every tool by its full name, where it came from, and what kept others out."""

from __future__ import annotations

import difflib
import threading
from collections.abc import Callable, Iterable, Iterator
from importlib.metadata import EntryPoint, entry_points
from typing import Any, cast

from aios_kernel.errors import ConfigError, ToolUnknown
from aios_kernel.toolkit.tool import Tool, make_tool

__all__ = ["GROUP", "Registry"]

#: The entry-point group: a Tool, a callable, or a list of either.
GROUP = "aios.tools"


class Registry:
    """Map full names to tools. Thread-safe; a name is taken once, unless it is replaced on purpose."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._tools: dict[str, Tool] = {}
        self.broken: dict[str, str] = {}  # entry points that gave no tool, and why

    def add(self, tool: Tool | Callable[..., Any], *, replace: bool = False, **settings: Any) -> Tool:
        """Add a tool, or a callable as one; settings are fields of `Tool`. Raises `ConfigError` for a taken name."""
        made = make_tool(tool, **settings)
        with self._lock:
            if made.name in self._tools and not replace:
                raise ConfigError(
                    f"a tool named {made.name!r} is registered already: replace it, or choose another name"
                )
            self._tools = {**self._tools, made.name: made}
        return made

    def remove(self, name: str) -> None:
        """Take a tool out; calls under way end by themselves."""
        with self._lock:
            self._tools = {key: tool for key, tool in self._tools.items() if key != name}

    def get(self, name: str) -> Tool:
        """The tool of a full name; raises `ToolUnknown`, which names the nearest."""
        found = self._tools.get(name)
        if found is None:
            raise ToolUnknown(f"there is no tool {name!r}.{_hint(name, self._tools)}")
        return found

    def find(self, name: str) -> Tool | None:
        """The tool of a full name, or None."""
        return self._tools.get(name)

    def __iter__(self) -> Iterator[Tool]:
        return iter(sorted(self._tools.values(), key=lambda tool: tool.name))

    def __len__(self) -> int:
        return len(self._tools)

    def after_fork(self) -> None:
        """Forget the lock, which another thread of the parent may hold."""
        self._lock = threading.Lock()

    def load_entry_points(self, found: Iterable[EntryPoint] | None = None) -> None:
        """Add what other packages register; one that is broken is kept out and listed with its reason."""
        for entry in entry_points(group=GROUP) if found is None else found:
            try:
                self._load(entry)
            except Exception as error:  # noqa: BLE001 - anybody's code; the others still count
                self.broken[entry.name] = f"{type(error).__name__}: {error}"

    def _load(self, entry: EntryPoint) -> None:
        loaded = entry.load()
        org = entry.dist.name if entry.dist is not None else "other"
        if isinstance(loaded, (list, tuple)):
            for one in cast("Iterable[Any]", loaded):
                self.add(one, org=org, origin="entry point")
        elif isinstance(loaded, Tool):
            self.add(loaded)
        else:
            self.add(loaded, org=org, name=entry.name, origin="entry point")


def _hint(name: str, known: Iterable[str]) -> str:
    """What may have been meant: a model that leaves out the first part means the one tool of that short name."""
    names, short = sorted(known), name.rpartition("/")[2]
    meant = [one for one in names if one.rpartition("/")[2] == short] or difflib.get_close_matches(name, names, n=3)
    return f" Did you mean {' or '.join(map(repr, meant))}?" if meant else " aios/list_tools lists what there is."
