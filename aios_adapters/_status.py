"""The status view: what is patched, what waits, what has been called; readable in a terminal and in a notebook."""

from __future__ import annotations

import html
from dataclasses import dataclass, field
from typing import Any

from aios_adapters import session
from aios_adapters.adapter import Adapter
from aios_adapters.session import Entry, State
from aios_kernel.errors import SyscallError

__all__ = ["AdapterStatus", "Status", "read"]

ABSENT = "not installed"
OPTIONAL = "off unless asked for"
COLUMNS = ("adapter", "version", "tested", "state", "calls", "reason")


@dataclass(frozen=True, slots=True)
class AdapterStatus:
    """One adapter at one moment; `remedy` says what to do where it is not active."""

    name: str
    version: str
    tested: str
    state: State
    reason: str
    calls: int
    fallbacks: int
    remedy: str = ""

    @property
    def row(self) -> tuple[str, ...]:
        """The cells of its line in the table."""
        more = f"{self.fallbacks} calls made natively" if self.fallbacks else ""
        reason = "; ".join(part for part in (self.reason, more) if part)
        return (self.name, self.version or "-", self.tested or "-", self.state, str(self.calls), reason)


@dataclass(frozen=True, slots=True, repr=False)
class Status:
    """What is in force at one moment.

    `syscalls` counts the granted syscalls by kind; `kernel` is the kernel's own status, None when not enabled, or when
    it cannot be asked, which `problem` then tells.
    """

    enabled: bool = False
    adapters: tuple[AdapterStatus, ...] = ()
    syscalls: dict[str, int] = field(default_factory=dict[str, int])
    kernel: Any = None
    problem: str = ""

    def __getitem__(self, name: str) -> AdapterStatus:
        """The status of one adapter."""
        found = {adapter.name: adapter for adapter in self.adapters}
        return found[name]

    @property
    def headline(self) -> str:
        """One line: on or off, and the syscalls so far."""
        if not self.enabled:
            return "aios-adapters: not enabled"
        counts = ", ".join(f"{kind} {count}" for kind, count in sorted(self.syscalls.items()))
        told = self.problem or f"syscalls: {counts or 'none yet'}"
        return f"aios-adapters: enabled; {told}"

    @property
    def shown(self) -> tuple[AdapterStatus, ...]:
        """The adapters worth a line: those that are neither merely not installed nor merely not asked for."""
        return tuple(one for one in self.adapters if one.reason != ABSENT and not one.reason.startswith(OPTIONAL))

    @property
    def absent(self) -> str:
        """One line for the frameworks that are not installed."""
        names = [one.name for one in self.adapters if one.reason == ABSENT]
        return f"not installed: {', '.join(names)}" if names else ""

    def __repr__(self) -> str:
        rows = [COLUMNS, *(adapter.row for adapter in self.shown)]
        widths = [max(len(row[column]) for row in rows) for column in range(len(COLUMNS))]
        lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
        told = [self.headline, *lines, self.absent] if self.adapters else [self.headline]
        return "\n".join(line for line in told if line)

    def _repr_html_(self) -> str:
        def line(cells: tuple[str, ...], tag: str) -> str:
            return "<tr>" + "".join(f"<{tag}>{html.escape(cell)}</{tag}>" for cell in cells) + "</tr>"

        body = "".join(line(adapter.row, "td") for adapter in self.shown)
        table = f"<table>{line(COLUMNS, 'th')}{body}</table>" if self.adapters else ""
        absent = f"<p>{html.escape(self.absent)}</p>" if self.absent else ""
        return f"<p>{html.escape(self.headline)}</p>{table}{absent}"


def read() -> Status:
    """Read the present state."""
    now = session.in_force()
    if now is None:
        return Status()
    adapters = tuple(_adapter(entry) for entry in now.entries.values())
    try:
        kernel = now.kernel.status()
    except SyscallError as error:  # a kernel in another process, which cannot be asked
        return Status(True, adapters, {}, None, str(error))
    return Status(True, adapters, dict(getattr(kernel, "syscalls", {})), kernel)


def _adapter(entry: Entry) -> AdapterStatus:
    adapter = entry.adapter
    version, reason = entry.version, entry.reason
    if entry.state == "waiting" and adapter is not None:
        version = adapter.version()
        reason = ABSENT if version is None else f"{adapter.module} is not imported yet"
    elif entry.state == "active" and adapter is not None:
        reason = _outstanding(entry, adapter)
    numbers = entry.calls, entry.fallbacks
    return AdapterStatus(
        entry.name, version or "", _tested(adapter), entry.state, reason, *numbers, _remedy(entry, version)
    )


def _remedy(entry: Entry, version: str | None) -> str:
    """How to install what is missing or left out; nothing where it is only not imported yet, or not wanted."""
    if entry.adapter is None or entry.state == "active" or (entry.state == "waiting" and version is not None):
        return ""
    from aios_adapters._remedies import install

    return install(entry.adapter)


def _outstanding(entry: Entry, adapter: Adapter) -> str:
    wanted = {name for name in adapter.modules if adapter.patches_of(name, entry.version)}
    waiting = sorted(wanted - entry.seen)
    return f"not imported yet: {', '.join(waiting)}" if waiting else ""


def _tested(adapter: Adapter | None) -> str:
    return "-".join(dict.fromkeys(part for part in adapter.tested if part)) if adapter is not None else ""
