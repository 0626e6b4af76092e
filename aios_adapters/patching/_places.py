"""Where the target of a patch is, and what is there: an attribute, or a variable in the closure of a function."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Mapping
from types import CellType, FunctionType, ModuleType
from typing import Any, cast

from aios_adapters.patching._patch import MISSING, Moved, Patch

__all__ = ["find", "inherited", "located", "own", "put"]


def find(module: ModuleType, patch: Patch) -> tuple[Any, str] | None:
    """Owner and name of a patch's target; None where an optional one is missing."""
    *path, name = patch.path.split(".")
    owner: Any = module
    for step in path:
        owner = getattr(owner, step, MISSING)
        if owner is MISSING:
            break
    if _in_closure(name) and owner is not MISSING:
        # What stands there may be a wrapper, and one of them our own.
        owner = inspect.unwrap(owner, stop=lambda function: _cell(function, name) is not None)
        found = _cell(owner, name) is not None
    else:
        found = owner is not MISSING and getattr(owner, name, MISSING) is not MISSING
    if found:
        return owner, name
    if patch.optional:
        return None
    raise Moved(f"{patch} does not exist")


def located(alias: str) -> tuple[Any, str] | None:
    """Owner and name of an alias; None where its module is not imported or has no such thing."""
    module, _, path = alias.partition(":")
    owner: Any = sys.modules.get(module)
    *steps, name = path.split(".")
    for step in steps:
        owner = getattr(owner, step, None)
    return None if owner is None or not hasattr(owner, name) else (owner, name)


def own(owner: Any, name: str) -> Any:
    """What is there now; `MISSING` where the owner has none itself."""
    if _in_closure(name):
        cell = _cell(owner, name)
        return MISSING if cell is None else cell.cell_contents
    attributes = cast("Mapping[str, Any]", vars(owner))
    return attributes.get(name, MISSING)


def put(owner: Any, name: str, value: Any) -> None:
    """Have this there from now on."""
    cell = _cell(owner, name) if _in_closure(name) else None
    if cell is None:
        setattr(owner, name, value)
    else:
        cell.cell_contents = value


def inherited(owner: Any, name: str) -> Any:
    """What an attribute that the owner has not itself is."""
    for cls in owner.__mro__[1:] if isinstance(owner, type) else ():
        if name in cls.__dict__:
            return cls.__dict__[name]
    return getattr(owner, name)


def _in_closure(name: str) -> bool:
    return name.startswith("<")


def _cell(function: Any, name: str) -> CellType | None:
    """The closure's variable; None where the function has none of this name, or nothing in it yet."""
    if not isinstance(function, FunctionType):
        return None
    for variable, cell in zip(function.__code__.co_freevars, function.__closure__ or (), strict=True):
        if variable == name[1:-1]:
            try:
                _ = cell.cell_contents
            except ValueError:
                return None
            return cell
    return None
