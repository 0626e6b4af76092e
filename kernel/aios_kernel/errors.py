"""The exception tree of the kernel.

AiosError
├── ConfigError (ValueError)        what was asked for does not exist or cannot be combined
│   └── UnknownName                 an unknown policy, core, model, adapter or key; names the known ones
└── SyscallError                    one syscall failed; the kernel serves the others
    ├── AccessDenied (PermissionError)
    │   ├── AgentKilled             the agent was killed; nothing is granted to it any more
    │   ├── BudgetExceeded          the agent, its group or the kernel may not use as much as the call might
    │   └── PathRefused             a path that is ambiguous, or would leave its root
    ├── QueueFull
    ├── DeadlineExceeded (TimeoutError)
    ├── PolicyError                 the scheduling policy raised while it ranked this call
    ├── KernelClosed
    ├── KernelLost                  the kernel in another process cannot be reached, or died
    ├── KernelRefused               the kernel in another process refused this one: its token, or its version
    ├── StorageError                a file cannot be read or written as asked
    │   └── FileMissing (FileNotFoundError)
    ├── StoreError                  a store of records cannot do what is asked
    │   └── NoteMissing (LookupError)   an agent has no such note
    ├── ToolError                   a tool cannot do what it was asked
    │   ├── ToolUnknown (LookupError)     no tool is registered under the name
    │   ├── ToolArguments (ValueError)    the arguments do not fit the tool's schema
    │   ├── ToolUnavailable               what the tool needs is not there: a package, a program, a key, a sandbox
    │   ├── ToolTimeout (TimeoutError)    the tool did not end in its time
    │   └── ToolFailed                    the tool raised
    ├── VersionConflict             what was to be changed is not the version that the caller knows
    ├── JournalError                the journal cannot be used, or has no answer that can be given back
    │   └── JournalDivergence       a strict replay met a call that is not in the journal
    └── CoreError                   the core could not serve the call
        ├── ModelLoadError
        └── ContextTooLong (ValueError)
"""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = [
    "AccessDenied",
    "AgentKilled",
    "AiosError",
    "BudgetExceeded",
    "ConfigError",
    "ContextTooLong",
    "CoreError",
    "DeadlineExceeded",
    "FileMissing",
    "JournalDivergence",
    "JournalError",
    "KernelClosed",
    "KernelLost",
    "KernelRefused",
    "ModelLoadError",
    "NoteMissing",
    "PathRefused",
    "PolicyError",
    "QueueFull",
    "StorageError",
    "StoreError",
    "SyscallError",
    "ToolArguments",
    "ToolError",
    "ToolFailed",
    "ToolTimeout",
    "ToolUnavailable",
    "ToolUnknown",
    "UnknownName",
    "VersionConflict",
]


class AiosError(Exception):
    """Base of every error the project raises by itself."""


class ConfigError(AiosError, ValueError):
    """What was asked for does not exist or cannot be combined."""


class UnknownName(ConfigError):
    """A name that is not among the known ones; the message lists them and the nearest."""

    def __init__(self, what: str, name: object, known: Iterable[str], remedy: str = "") -> None:
        names = sorted(known)
        near = difflib.get_close_matches(str(name), names, n=1)
        hint = f" Did you mean {near[0]!r}?" if near else ""
        listed = ", ".join(names) or "none"
        more = f" {remedy}" if remedy else ""
        super().__init__(f"unknown {what} {name!r}.{hint} Known: {listed}.{more}")


class SyscallError(AiosError):
    """One syscall failed; the kernel goes on serving the others."""


class AccessDenied(SyscallError, PermissionError):
    """The access check refused the call."""


class AgentKilled(AccessDenied):
    """The agent was killed: its waiting and served calls end with this, and so does each later one."""


class BudgetExceeded(AccessDenied):
    """A budget does not hold what the call might use, or a limit on time or repetition is reached.

    `kill` True: the agent's life ends with it.
    """

    kill: bool = False


class PathRefused(AccessDenied):
    """The path is ambiguous, or would lead out of its root."""


class QueueFull(SyscallError):
    """The run queue of the resource holds as many waiting calls as it may."""


class DeadlineExceeded(SyscallError, TimeoutError):
    """The call was not granted before its deadline."""


class PolicyError(SyscallError):
    """The scheduling policy raised while it ranked this call."""


class KernelClosed(SyscallError):
    """The kernel was shut down before the call was granted."""


class KernelLost(SyscallError):
    """The kernel in another process cannot be reached, or the connection to it broke."""


class KernelRefused(SyscallError):
    """The kernel in another process does not take this one's calls: a wrong token, or another version of the protocol."""


class StorageError(SyscallError):
    """A file cannot be read or written as asked."""


class FileMissing(StorageError, FileNotFoundError):
    """There is no such file, directory or version."""


class StoreError(SyscallError):
    """A store of records cannot do what is asked of it."""


class NoteMissing(StoreError, LookupError):
    """The agent has no such note."""


class ToolError(SyscallError):
    """A tool cannot do what it was asked."""


class ToolUnknown(ToolError, LookupError):
    """No tool is registered under the name; the message names the nearest."""


class ToolArguments(ToolError, ValueError):
    """The arguments do not fit the tool's schema; the message says which, and how to put it right."""


class ToolUnavailable(ToolError):
    """What the tool needs is not there: a package, a program, a key, a sandbox."""


class ToolTimeout(ToolError, TimeoutError):
    """The tool did not end in its time."""


class ToolFailed(ToolError):
    """The tool raised; the cause says what."""


class VersionConflict(SyscallError):
    """What was to be changed is not the version that the caller knows; read it again."""


class JournalError(SyscallError):
    """The journal cannot be used, or what it holds for a call cannot be given back."""


class JournalDivergence(JournalError):
    """A strict replay met a call that the journal has no record of; the message shows how they differ."""


class CoreError(SyscallError):
    """The core could not serve the call; `taken` False: it refused the call when it looked at it, before the queue."""

    taken: bool = True


class ModelLoadError(CoreError):
    """The core's model cannot be loaded."""


class ContextTooLong(CoreError, ValueError):
    """The prompt and the tokens asked for do not fit the model's context or the core's memory."""
