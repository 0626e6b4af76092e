"""Calls as actions on targets: the words in which policies, approvals and the audit log speak of them."""

from __future__ import annotations

import fnmatch
from collections.abc import Collection
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

from aios_kernel.abi import AccessCall, LLMCall, MemoryCall, StorageCall, ToolCall
from aios_kernel.access.rules import named
from aios_kernel.errors import AccessDenied

if TYPE_CHECKING:
    from collections.abc import Callable

    from aios_kernel.abi import Call
    from aios_kernel.access.rules import Policy

    Marks = Callable[[ToolCall], Collection[str]]
    Exists = Callable[[Call, str], bool]

__all__ = ["ACTIONS", "TARGETS", "Wanted", "wanted"]

#: The kinds of actions and of targets that there are; what stands behind is the call's own verb and name.
ACTIONS = ("llm", "tool", "code", "memory", "storage", "access")
TARGETS = ("core", "tool", "memory", "file", "collection", "share", "group", "agent", "access")
_OWNERS = ("owner", "agent", "agents", "group")  # arguments that name whose memory is meant


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What a call wants to do: all `targets` have to be allowed. `irreversible` is why it cannot be taken back, or ""."""

    action: str
    targets: tuple[str, ...]
    arguments: Any = None
    irreversible: str = ""


def wanted(call: Call, agent: str, policy: Policy, marks: Marks | None = None, exists: Exists | None = None) -> Wanted:
    """Describe a call of an agent; raises `AccessDenied` for one whose target cannot be told."""
    if isinstance(call, LLMCall):
        return Wanted(action=f"llm.{call.operation}", targets=(f"core:{call.model}",))
    if isinstance(call, ToolCall):
        return _tool(call, policy, marks)
    if isinstance(call, MemoryCall):
        action = f"memory.{call.verb}"
        targets = _memories(call, agent)
        return Wanted(
            action=action,
            targets=targets,
            arguments=call.arguments,
            irreversible=_overwriting(call, policy, action, exists, agent),
        )
    if isinstance(call, StorageCall):
        action = f"storage.{call.verb}"
        targets = _files(call, agent)
        return Wanted(
            action=action,
            targets=targets,
            arguments=call.arguments,
            irreversible=_overwriting(call, policy, action, exists, agent),
        )
    if isinstance(call, AccessCall):
        return Wanted(
            action=call.action,
            targets=(call.target,),
            arguments=call.arguments,
            irreversible=policy.reason(call.action),
        )
    raise AccessDenied(f"a call of class {type(call).__name__} is of no kind that the access manager knows")


def _tool(call: ToolCall, policy: Policy, marks: Marks | None) -> Wanted:
    marked = frozenset(marks(call)) if marks is not None else frozenset[str]()
    target = f"tool:{call.name}"
    if call.code:
        action = "code.run"
        safe = "sandboxed" in marked or _fits(policy.sandboxed, call.name)
        reason = "" if safe else "it runs code outside a sandbox"
    else:
        action = "tool.run"
        reason = policy.reason(action)
    if "destructive" in marked or _fits(policy.destructive, call.name):
        reason = "the tool is marked destructive"
    return Wanted(action=action, targets=(target,), arguments=call.arguments, irreversible=reason)


def _fits(patterns: tuple[str, ...], name: str) -> bool:
    return any(fnmatch.fnmatchcase(name, pattern) for pattern in patterns)


def _memories(call: MemoryCall, agent: str) -> tuple[str, ...]:
    """Everybody whose memory is named: a call that names two is about both, whichever its manager goes by."""
    if call.lease:  # a framework's own store, in words of its own
        return (f"memory:{named(agent)}",)
    found: dict[str, None] = {}
    for key in _OWNERS:
        value: Any = call.arguments.get(key)
        for one in cast("list[Any]", value if isinstance(value, list) else [] if value is None else [value]):
            if not isinstance(one, str) or not one:
                raise AccessDenied(f"argument {key!r} does not name an agent: {one!r}")
            found[f"memory:{_owner(one, group=key == 'group')}"] = None
    return tuple(found) or (f"memory:{named(agent)}",)


def _owner(text: str, *, group: bool) -> str:
    if text.startswith("group:") or (group and not text.startswith("agent:")):
        return "group:" + named(text.removeprefix("group:"))
    return named(text.removeprefix("agent:"))


def _files(call: StorageCall, agent: str) -> tuple[str, ...]:
    arguments = call.arguments
    for key in ("root", "path", "collection", "id"):
        if not isinstance(arguments.get(key) or "", str):
            raise AccessDenied(f"argument {key!r} of {call.label!r} is not text: {arguments[key]!r}")
    if call.verb == "revoke":
        return (f"share:{arguments.get('id') or ''}",)
    root, path = arguments.get("root") or "", arguments.get("path") or ""
    if call.lease:  # a framework's own work on the host's files
        return (f"file:host:{path}",)
    if any(part in {"", ".", ".."} for part in path.split("/")) and path:
        raise AccessDenied(f"path {path!a} is refused: it does not say plainly where it leads")
    kind, _, name = root.partition(":") if root else ("agent", "", agent)
    target = f"file:{kind}:{named(name)}"
    target = f"{target}/{path}" if path else target
    collection = arguments.get("collection") or ""
    if collection and call.verb == "retrieve":
        return (f"collection:{collection}",)
    return (target, f"collection:{collection}") if collection else (target,)


def _overwriting(call: MemoryCall | StorageCall, policy: Policy, action: str, exists: Exists | None, agent: str) -> str:
    """Writing is irreversible where something is there to be overwritten; where nobody knows, it may be."""
    reason = policy.reason(action)
    if not reason or action != "storage.write":
        return reason
    if call.arguments.get("append") is True or call.arguments.get("expected_version") == 0:
        return ""
    return "" if exists is not None and not exists(call, agent) else "it may overwrite a file"
