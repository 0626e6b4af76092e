"""The patcher: applies the patches of a module all or none, and undoes them last in, first out."""

from __future__ import annotations

import threading
import weakref
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from types import ModuleType
from typing import Any

from aios_adapters.patching._patch import MISSING, Moved, Patch, Token, replacement_for, token_of, underlying
from aios_adapters.patching._places import find, inherited, located, own, put
from aios_kernel.logs import logger

__all__ = ["Patcher"]

log = logger("aios_adapters")
HOOK = "__init_subclass__"
COMPACT_AT = 256  # forget the owners that were collected once there are so many


@dataclass(frozen=True, slots=True, eq=False)
class _Set:
    """One place that was set. Its owner is held weakly: what it was is kept by the replacement itself."""

    owner: weakref.ref[Any]
    name: str
    group: str


class Patcher:
    """Set and restore attributes, in groups (one per adapter).

    Locking: one lock, held while attributes are set; nothing is imported under it, and no foreign code runs but the
    metaclass of an owner. A class made inside a function may be collected while it is patched.
    """

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._stack: list[_Set] = []
        self._bases: dict[int, list[tuple[weakref.ref[type], Patch, str]]] = {}  # by the id of the base

    def __len__(self) -> int:
        return sum(entry.owner() is not None for entry in self._stack)

    def apply(self, module: ModuleType, patches: Sequence[Patch], group: str) -> None:
        """Apply patches to one module; idempotent. Raises `Moved` when a target is not there: then undo the group."""
        with self._lock:
            for patch in patches:
                self._apply(module, patch, group)

    def undo(self, group: str | None = None) -> None:
        """Restore every attribute (of one group) to the identical object it was."""
        with self._lock:
            kept = [entry for entry in reversed(self._stack) if not _chosen(entry, group) or not self._restore(entry)]
            self._stack = kept[::-1] if group is not None else []
            for key, bases in list(self._bases.items()):
                self._bases[key] = [base for base in bases if group is not None and base[2] != group]

    def renew_lock(self) -> None:
        """Forget, in a forked child, that another thread of the parent held the lock."""
        self._lock = threading.RLock()

    # Applying ------------------------------------------------------------------------------------------------------

    def _apply(self, module: ModuleType, patch: Patch, group: str) -> None:
        found = find(module, patch)
        if found is None:
            return
        owner, name = found
        if patch.subclasses != "only":
            self._replace(owner, name, patch, group)
        if patch.subclasses and isinstance(owner, type):
            bases = self._bases.setdefault(id(owner), [])
            if not any(base() is owner and known is patch for base, known, _ in bases):
                bases.append((weakref.ref(owner), patch, group))
            for cls in _tree(owner):
                self._cover(cls, name, patch, group)
            self._hook(owner, group)

    def _cover(self, cls: type, name: str, patch: Patch, group: str) -> None:
        """Cover an override. One of another kind stays native: a program's own class is no reason to fail."""
        if callable(underlying(cls.__dict__.get(name))):
            try:
                self._replace(cls, name, patch, group)
            except Moved as error:
                log.warning("%s.%s.%s stays native: %s", cls.__module__, cls.__qualname__, name, error)

    def _replace(self, owner: Any, name: str, patch: Patch, group: str) -> None:
        raw = own(owner, name)
        if self._has(raw, group):
            return
        above = inherited(owner, name) if raw is MISSING else None
        token = Token(self, group, raw)
        replacement = replacement_for(patch, raw, token, inherited=above)
        self._set(owner, name, replacement, group)
        for alias in patch.aliases:
            other = located(alias)
            if other is not None and own(*other) is raw:
                self._set(*other, replacement, group)

    def _set(self, owner: Any, name: str, value: Any, group: str) -> None:
        put(owner, name, value)
        self._stack.append(_Set(weakref.ref(owner), name, group))

    def _has(self, raw: Any, group: str) -> bool:
        """Whether this group's replacement is there already, be it below another group's."""
        while (token := token_of(raw)) is not None and token.patcher is self:
            if token.group == group:
                return True
            raw = token.raw
        return False

    # Subclasses that come later -------------------------------------------------------------------------------------

    def _hook(self, base: type, group: str) -> None:
        """Be told of every new subclass, also below a class whose own `__init_subclass__` does not call its base's."""
        for cls in (base, *(c for c in _tree(base) if HOOK in c.__dict__)):
            self._hook_one(cls, group)

    def _hook_one(self, cls: type, group: str) -> None:
        raw = own(cls, HOOK)
        if not self._has(raw, group):
            hook = _subclass_hook(cls, raw, self._born)
            Token(self, group, raw).put_on(hook)
            self._set(cls, HOOK, classmethod(hook), group)

    def _born(self, cls: type) -> None:
        with self._lock:
            for base in cls.__mro__[1:]:
                for owner, patch, group in self._bases.get(id(base), ()):
                    if owner() is base:
                        self._cover(cls, patch.path.rpartition(".")[2], patch, group)
                        if HOOK in cls.__dict__:
                            self._hook_one(cls, group)
            if len(self._stack) > COMPACT_AT and len(self._stack) > 2 * len(self):
                self._stack = [entry for entry in self._stack if entry.owner() is not None]

    # Undoing -------------------------------------------------------------------------------------------------------

    def _restore(self, entry: _Set) -> bool:
        """Put the original back, unless somebody has put something over ours: theirs stays, and ours passes through."""
        owner = entry.owner()
        if owner is None:
            return True
        token = token_of(own(owner, entry.name))
        if token is None or token.patcher is not self or token.group != entry.group:
            return False
        if token.raw is MISSING:
            delattr(owner, entry.name)
        else:
            put(owner, entry.name, token.raw)
        return True


def _chosen(entry: _Set, group: str | None) -> bool:
    return group is None or entry.group == group


def _tree(base: type) -> Iterator[type]:
    """Every class below `base`, once."""
    seen: set[type] = set()
    todo = type.__subclasses__(base)
    while todo:
        cls = todo.pop()
        if cls not in seen:
            seen.add(cls)
            yield cls
            todo += type.__subclasses__(cls)


def _subclass_hook(owner: type, raw: Any, born: Callable[[type], None]) -> Callable[..., None]:
    native = underlying(raw)
    reference = weakref.ref(owner)

    def __init_subclass__(cls: type, **kwargs: Any) -> None:  # noqa: N807
        above = reference()
        if native is not MISSING:
            native(cls, **kwargs)
        elif above is not None:
            super(above, cls).__init_subclass__(**kwargs)
        born(cls)

    return __init_subclass__
