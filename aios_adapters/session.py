"""The session: what is in force between `enable()` and `disable()`: a kernel, the adapters and their patches."""

from __future__ import annotations

import importlib.util
import os
import sys
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from types import ModuleType
from typing import TYPE_CHECKING, Any, Literal, cast

from aios_adapters import _carried, config
from aios_adapters._kernels import journaled, make_kernel, start_trace
from aios_adapters._log import log, warn_once
from aios_adapters.adapter import Adapter, AdapterError, Broken, load_all
from aios_adapters.patching import AddedModules, ImportHooks, Moved, Patcher
from aios_adapters.shelves import Shelves
from aios_kernel.errors import ConfigError, KernelClosed, KernelLost, SyscallError, UnknownName

if TYPE_CHECKING:
    from aios_adapters.config import Settings
    from aios_adapters.identity import Resolver
    from aios_kernel.gate import Gate

__all__ = ["Entry", "Session", "State", "current", "disable", "enable"]

State = Literal["active", "waiting", "skipped", "failed"]


@dataclass(slots=True, eq=False)
class Entry:
    """One adapter as it stands; `reason` says why it is not active."""

    name: str
    adapter: Adapter | None
    state: State = "waiting"
    reason: str = ""
    version: str | None = None
    calls: int = 0
    fallbacks: int = 0
    seen: set[str] = field(default_factory=set[str])


class Session:
    """Adapters put over a kernel. Locking: `_lock` is held while an entry changes; nothing is imported under it."""

    def __init__(self, settings: Settings, kernel: Gate | None) -> None:
        self.settings = settings
        self.owned = kernel is None
        self.ended = False
        self.patcher, self.added = Patcher(), AddedModules()
        self.shelves = Shelves()
        self._lock = threading.RLock()
        self._count_lock = threading.Lock()
        self.entries = {entry.name: entry for entry in _chosen(settings)}
        modules = [name for entry in self.entries.values() if entry.adapter for name in entry.adapter.modules]
        self._hooks = ImportHooks(modules, self._arrived)
        self.base: Gate = make_kernel(settings) if kernel is None else kernel
        try:
            self.kernel, self._end_journal = journaled(settings, self.base)
        except BaseException:
            if self.owned:
                self.base.close()
            raise
        self._end_trace = start_trace(settings.trace, self.kernel)
        self.resolvers: tuple[Resolver, ...] = ()

    def start(self) -> None:
        """Patch what is imported, and wait for what is not; idempotent. Raises `AdapterError` when strict."""
        for entry in self.entries.values():
            if self.settings.strict and entry.state == "failed":
                raise AdapterError(f"adapter {entry.name!r}: {entry.reason}")
        self._hooks.install()
        for name in sorted({m for e in self.entries.values() if e.adapter for m in e.adapter.modules}):
            module = sys.modules.get(name)
            # Another thread may be in the middle of importing it: then the hook comes.
            if module is not None and not getattr(getattr(module, "__spec__", None), "_initializing", False):
                self._arrived(module)

    def stop(self) -> None:
        """Restore every attribute and end the kernel, if it is ours."""
        self.ended = True
        self._hooks.uninstall()
        self.patcher.undo()
        self.added.undo()
        if self.owned:
            self.base.close()
        self._end_journal()
        self._end_trace()

    # What wrappers tell -------------------------------------------------------------------------------------------

    def called(self, name: str) -> None:
        """Count a call that an adapter brought to the gate."""
        with self._count_lock:
            if name in self.entries:
                self.entries[name].calls += 1

    def fell_back(self, name: str, error: Exception) -> None:
        """Note that a call was made natively because it could not be translated."""
        log.warning("adapter %s: a call could not be translated and is made natively", name, exc_info=error)
        with self._count_lock:
            if name in self.entries:
                self.entries[name].fallbacks += 1

    def goes_on(self, error: SyscallError) -> bool:
        """Whether a call that was granted nothing is to be made natively: the session ended, or its kernel is lost."""
        if self.ended:
            return isinstance(error, (KernelClosed, KernelLost))
        if not isinstance(error, KernelLost) or self.settings.on_kernel_loss != "run":
            return False
        warn_once(f"calls are made without a kernel: {error}")
        return True

    def renew_locks(self) -> None:
        """Forget, in a forked child, what threads of the parent hold."""
        self._lock, self._count_lock = threading.RLock(), threading.Lock()
        self.patcher.renew_lock()
        self.shelves.renew_locks()

    # Patching -----------------------------------------------------------------------------------------------------

    def _arrived(self, module: ModuleType) -> None:
        for entry in self.entries.values():
            adapter = entry.adapter
            if adapter is None or module.__name__ not in adapter.modules:
                continue
            with self._lock:
                if entry.state in {"waiting", "active"}:
                    self._activate(entry, adapter, module)

    def _activate(self, entry: Entry, adapter: Adapter, module: ModuleType) -> None:
        """Apply one module's patches; whatever goes wrong takes the whole adapter out."""
        try:
            if not self._version_fits(entry, adapter):
                return
            self.patcher.apply(module, adapter.patches_of(module.__name__, entry.version), adapter.name)
            _check_modules(adapter, entry.version)
            for name, make in adapter.adds.items():
                self.added.add(name, make)
        except Exception as error:  # noqa: BLE001 - fail open: the framework works without us
            self.patcher.undo(adapter.name)
            reason = str(error) if isinstance(error, Moved) else repr(error)
            self._out(entry, "failed", f"{reason} in {_named(adapter, entry.version)}", error)
            return
        entry.seen.add(module.__name__)
        entry.state = "active"
        if adapter.resolve is not None and adapter.resolve not in self.resolvers:
            self.resolvers = (*self.resolvers, adapter.resolve)

    def _version_fits(self, entry: Entry, adapter: Adapter) -> bool:
        if entry.seen:
            return True
        entry.version = adapter.version()
        if adapter.too_old(entry.version):
            what = _named(adapter, entry.version)
            self._out(entry, "skipped", f"{what} is older than {adapter.minimum}, the oldest this adapter supports")
            return False
        if adapter.untested(entry.version):
            warn_once(
                f"{_named(adapter, entry.version)} is newer than {adapter.tested[1]}, the newest version that adapter "
                f"{adapter.name!r} was tested with; it is enabled all the same"
            )
        return True

    def _out(self, entry: Entry, state: State, reason: str, error: Exception | None = None) -> None:
        entry.state, entry.reason = state, reason
        if self.settings.strict:
            raise AdapterError(f"adapter {entry.name!r}: {reason}") from error
        warn_once(f"adapter {entry.name!r} is off: {reason}")


def _chosen(settings: Settings) -> list[Entry]:
    found = load_all()
    known = {one.name for one in found}
    for name in (*settings.only, *settings.exclude):
        if name not in known:
            raise UnknownName("adapter", name, known)
    return [_entry(one, settings) for one in found]


def _entry(one: Adapter | Broken, settings: Settings) -> Entry:
    if isinstance(one, Broken):
        return Entry(one.name, None, "failed", f"it cannot be loaded: {one.error!r}")
    if one.name in settings.exclude or (settings.only and one.name not in settings.only):
        return Entry(one.name, None, "skipped", "not among what enable() was asked for")
    if one.opt_in and not getattr(settings, one.opt_in):
        return Entry(one.name, None, "skipped", f"off unless asked for: enable({one.opt_in}=True)")
    return Entry(one.name, one)


def _check_modules(adapter: Adapter, version: str | None) -> None:
    """Notice a module that moved: its patches would wait for an import that never comes."""
    if adapter.module not in sys.modules:
        return
    for name in adapter.modules:
        parent = name.rpartition(".")[0]
        patches = [patch for patch in adapter.patches_of(name, version) if not patch.optional]
        # Looking for a module imports its parent: only where that has happened.
        if patches and name not in sys.modules and parent in sys.modules and importlib.util.find_spec(name) is None:
            raise Moved(f"{patches[0]} does not exist")


def _named(adapter: Adapter, version: str | None) -> str:
    name = adapter.package() or adapter.module
    return f"{name} {version}" if version else name


# One session per process -------------------------------------------------------------------------------------------

_lock = threading.RLock()
_session: Session | None = None


def current() -> Session | None:
    """The session in force; None where calls are native."""
    return None if _carried.paused.get() else _session


def in_force() -> Session | None:
    """The session in force, paused or not."""
    return _session


def enable(given: Mapping[str, Any], kernel: Gate | None) -> None:
    """Begin a session, or change the one in force; with nothing new asked for, only look for new targets."""
    global _session  # noqa: PLW0603 - one session per process, as there is one set of imported modules
    if config.disabled():
        return
    wanted = config.gather(given)
    with _lock:
        old = _session
        if old is not None:
            if _same(old, wanted, given, kernel):
                old.start()
                return
            wanted = replace(old.settings, **{key: getattr(wanted, key) for key in given})
            kernel = kernel if kernel is not None or old.owned or "kernel" in given else old.base
            _check_cores(old, given)
            disable()
        new = Session(wanted, kernel)
        _session = new
        try:
            new.start()
        except BaseException:
            disable()
            raise


def _same(old: Session, wanted: Settings, given: Mapping[str, Any], kernel: Gate | None) -> bool:
    settings = all(getattr(old.settings, key) == getattr(wanted, key) for key in given)
    return settings and (kernel is None or kernel is old.base or kernel is old.kernel)


def _check_cores(old: Session, given: Mapping[str, Any]) -> None:
    """A new kernel closes the old one's cores: one that was made by the program cannot move over."""
    llm = old.settings.llm
    made: list[Any] = list(cast("Mapping[str, Any]", llm).values()) if isinstance(llm, Mapping) else [llm or ""]
    if old.owned and "llm" not in given and any(not isinstance(core, str) for core in made):
        raise ConfigError(
            "enable() is in force with a core object, which its kernel owns: call disable() first, or pass llm= too"
        )


def disable() -> None:
    """End the session, if there is one."""
    global _session
    with _lock:
        old, _session = _session, None
        if old is not None:
            old.stop()


def _after_fork() -> None:
    """A lock that another thread of the parent held would stay held in the child."""
    global _lock  # noqa: PLW0603
    _lock = threading.RLock()
    if _session is not None:
        _session.renew_locks()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
