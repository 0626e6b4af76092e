"""The adapter table: what an adapter declares, which ones exist, and whether an installed version fits."""

from __future__ import annotations

import functools
import importlib
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

from aios_kernel.errors import AiosError

if TYPE_CHECKING:
    from aios_adapters.identity import Resolver
    from aios_adapters.patching import Patch

__all__ = ["BUILT_IN", "ENTRY_POINTS", "Adapter", "AdapterError", "Broken", "load_all"]

#: The adapters that come with the package: modules with `ADAPTER` or `ADAPTERS`.
BUILT_IN = (
    "context",
    "openai",
    "openai_legacy",
    "openai_shim",
    "langchain",
    "autogen",
    "autogen_classic",
    "ag2",
    "llama_index",
    "litellm",
    "open_interpreter",
    "metagpt",
    "openai_agents",
    "agent_framework",
)
#: Other distributions register theirs in this entry point group: each entry names an Adapter or a sequence of them.
ENTRY_POINTS = "aios.adapters"


class AdapterError(AiosError):
    """An adapter cannot be put in place; raised with `strict=True`, else shown by `status()`."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Adapter:
    """One framework: what is patched in it, and in which versions that was tested.

    `module` is the import that brings the framework in. `distribution` is what pip calls it (the first one installed
    counts; empty for the standard library), with a specifier ("ag2<1") where other versions are another framework.
    `tested` are the oldest and the newest version the tests run with; below
    `minimum` the adapter is skipped. `resolve` reads the current agent from the framework's own context. With `opt_in`, the
    adapter is out unless `enable()` is given that keyword. `adds` are modules that are put into the framework's package.
    """

    name: str
    module: str
    patches: Sequence[Patch]
    distribution: str | tuple[str, ...] = ()
    tested: tuple[str, str] = ("", "")
    minimum: str = ""
    resolve: Resolver | None = None
    opt_in: str = ""
    adds: Mapping[str, Callable[[], ModuleType]] = field(default_factory=dict[str, "Callable[[], ModuleType]"])

    @property
    def modules(self) -> tuple[str, ...]:
        """Every module that is patched, and the one that brings the framework in."""
        return tuple(dict.fromkeys((self.module, *(patch.module for patch in self.patches))))

    def version(self) -> str | None:
        """The installed version; None when no distribution of that name is installed, "" when there is none to ask."""
        found = self._found()
        return found[1] if found else None if self.distribution else ""

    def package(self) -> str:
        """What pip calls the framework as it is installed; "" when it is not."""
        found = self._found()
        return found[0] if found else ""

    def _found(self) -> tuple[str, str] | None:
        for row in (self.distribution,) if isinstance(self.distribution, str) else self.distribution:
            name, specifier = _split(row)
            version = _version(name, _installed()) if name else None
            if version is not None and _fits(version, specifier):
                return name, version
        return None

    def patches_of(self, module: str, version: str | None) -> list[Patch]:
        """The patches of one module that apply to a version."""
        return [p for p in self.patches if p.module == module and _fits(version, p.versions)]

    def too_old(self, version: str | None) -> bool:
        """Whether the installed version is below the minimum."""
        return bool(version and self.minimum) and not _fits(version, f">={self.minimum}")

    def untested(self, version: str | None) -> bool:
        """Whether the installed version is above everything tested; "3.54" stands for all of 3.54.x."""
        newest = self.tested[1]
        return bool(version and newest) and not _fits(version, f"<={newest}") and not _fits(version, f"=={newest}.*")


@dataclass(frozen=True, slots=True)
class Broken:
    """An adapter whose own module cannot be loaded."""

    name: str
    error: Exception


def load_all() -> list[Adapter | Broken]:
    """Load every adapter's declaration; none of them imports its framework."""
    found: list[Adapter | Broken] = []
    for name in BUILT_IN:
        found += _declared(name, functools.partial(_built_in, name))
    for point in _entry_points(_installed()):
        found += _declared(point.name, point.load)
    return found


def _installed() -> tuple[tuple[str, float], ...]:
    """What changes when something is installed: the path, and when its folders were written."""
    return tuple((folder, Path(folder).stat().st_mtime) for folder in sys.path if Path(folder).exists())


@functools.lru_cache(maxsize=1)
def _entry_points(_installed: Any) -> list[metadata.EntryPoint]:
    return sorted(metadata.entry_points(group=ENTRY_POINTS), key=lambda point: point.name)


@functools.lru_cache(maxsize=64)
def _version(name: str, _installed: Any) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def _built_in(name: str) -> Any:
    module = importlib.import_module(f"aios_adapters.{name}")
    return module.ADAPTERS if hasattr(module, "ADAPTERS") else module.ADAPTER


def _declared(name: str, load: Callable[[], Any]) -> Iterator[Adapter | Broken]:
    try:
        value = load()
        yield from [value] if isinstance(value, Adapter) else list(value)
    except ModuleNotFoundError as error:
        if error.name != f"aios_adapters.{name}":
            yield Broken(name, error)
    except Exception as error:  # noqa: BLE001 - a third party's adapter must not keep the others from working
        yield Broken(name, error)


def _split(row: str) -> tuple[str, str]:
    """A distribution's name and the specifier behind it, if there is one."""
    start = next((index for index, character in enumerate(row) if character in "<>=!~"), len(row))
    return row[:start].strip(), row[start:]


def _fits(version: str | None, specifier: str) -> bool:
    if not specifier or not version:
        return True
    from packaging.specifiers import SpecifierSet

    return SpecifierSet(specifier).contains(version, prereleases=True)
