"""Adapters: put the AIOS kernel under existing agent programs.

    import aios_adapters
    aios_adapters.enable()

The program stays as it is; its LLM and tool calls become syscalls of a kernel in the process.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    from aios_adapters._status import Status
    from aios_adapters.identity import AgentScope
    from aios_kernel.gate import Gate

__all__ = ["agent", "disable", "enable", "kernel", "paused", "status"]

_NOT_GIVEN: Any = object()


def enable(
    llm: Any = _NOT_GIVEN,
    *,
    only: str | Sequence[str] = _NOT_GIVEN,
    exclude: str | Sequence[str] = _NOT_GIVEN,
    strict: bool = _NOT_GIVEN,
    kernel: Gate | str | None = None,
    on_kernel_loss: str = _NOT_GIVEN,
    policy: Any = _NOT_GIVEN,
    policies: Mapping[str, Any] = _NOT_GIVEN,
    limits: Mapping[str, Mapping[str, float]] = _NOT_GIVEN,
    trace: str | os.PathLike[str] | None = _NOT_GIVEN,
    record_content: bool = _NOT_GIVEN,
    budgets: Mapping[str, Mapping[str, Any]] = _NOT_GIVEN,
    prices: Mapping[str, Any] = _NOT_GIVEN,
    access: Any = _NOT_GIVEN,
    audit: str | os.PathLike[str] | None = _NOT_GIVEN,
    data: str | os.PathLike[str] | None = _NOT_GIVEN,
    memory: bool = _NOT_GIVEN,
    embedder: Any = _NOT_GIVEN,
    openai_legacy: bool = _NOT_GIVEN,
    journal: str | os.PathLike[str] | None = _NOT_GIVEN,
    journal_mode: str = _NOT_GIVEN,
    journal_idempotent: str | Sequence[str] = _NOT_GIVEN,
) -> Status:
    """Put the kernel under every supported framework, imported already or later; idempotent and thread-safe.

    Args:
        llm: what answers calls to language models: None (the program's own endpoint), a core, the name of one, or a
            mapping from model names to cores.
        only: adapters to enable, all by default.
        exclude: adapters to leave out.
        strict: raise `AdapterError` where an adapter cannot be put in place, instead of leaving it out.
        kernel: a kernel to use instead of a new one in this process: an object, which `disable()` leaves running, or
            where another process serves one: "unix:PATH", "tcp:HOST:PORT", or "auto" (the user's own, started if need
            be).
        on_kernel_loss: what calls do while that kernel cannot be reached: "raise" `KernelLost`, or "run" without one.
        policy: scheduling policy of every resource, a name or an object.
        policies: policies by resource pattern, such as {"llm:*": "priority", "tool:search": "fifo"}.
        limits: {"in_flight", "rpm", "tpm"} by resource pattern.
        trace: file for a Chrome trace of every syscall.
        record_content: whether events carry prompts and arguments.
        budgets: how much each agent ("*"), one ("agent:NAME"), a group ("group:NAME") or the kernel may use: {"calls",
            "tokens", "money", "seconds", "repeats"}, and "then": "raise", "pause" or "kill".
        prices: prices per million tokens by model pattern, over the built-in table's.
        access: a policy file that says who may do what, or an `AccessManager`; a person is asked where it says so, at the
            terminal, in the notebook, or through `aios approvals`.
        audit: file that takes down what was allowed and denied, each entry bound to the one before.
        data: folder for what agents keep; with one, the kernel serves memory, files and tools, and writes there when
            they are used.
        memory: keep what frameworks' own memories in this process keep (messages, checkpoints, stores) in the kernel's memory
            too, item by item: it is found, limited and permitted there, and read back where it was changed there.
        embedder: what memories are found by besides their words: "lexical" (spelling, the default), "minilm" (meaning), "kernel:MODEL"
            (a model that a core of the kernel serves), or an object.
        openai_legacy: reinstate `openai.ChatCompletion.create` and the other calls of the openai SDK's 0.x on later
            versions, until `disable()`.
        journal: file that keeps what calls to models and tools were answered; a program that is run again is answered
            from it.
        journal_mode: "record" (answer what is there, record the rest), "replay" (record nothing), "strict" (raise
            `JournalDivergence` for what is not there) or "refresh" (begin anew).
        journal_idempotent: patterns of tools that may run again where their recorded result cannot be given back.

    What is left out comes from the environment (`AIOS_*`), then from `[tool.aios-adapters]` of pyproject.toml or from
    aios.toml, in the working directory or above. With the session in force, only what is given here changes.
    Raises `UnknownName` and `ConfigError` for settings that do not exist, `KernelLost` and `KernelRefused` where the
    kernel of another process cannot be used.
    """
    from aios_adapters import _status, session

    asked = {
        "llm": llm,
        "only": only,
        "exclude": exclude,
        "strict": strict,
        "policy": policy,
        "policies": policies,
        "limits": limits,
        "trace": trace,
        "record_content": record_content,
        "budgets": budgets,
        "prices": prices,
        "access": access,
        "audit": audit,
        "data": data,
        "memory": memory,
        "embedder": embedder,
        "openai_legacy": openai_legacy,
        "journal": journal,
        "journal_mode": journal_mode,
        "journal_idempotent": journal_idempotent,
        "on_kernel_loss": on_kernel_loss,
    }
    if isinstance(kernel, str):
        asked["kernel"], kernel = kernel, None
    session.enable({key: value for key, value in asked.items() if value is not _NOT_GIVEN}, kernel)
    return _status.read()


def disable() -> None:
    """Restore every patched attribute to the identical object it was, and close the kernel; idempotent."""
    from aios_adapters import session

    session.disable()


def paused() -> AbstractContextManager[None]:
    """Have the calls inside `with` be native."""
    from aios_adapters import _carried

    return _carried.assigned(_carried.paused, True)


def agent(
    name: str,
    *,
    priority: int | None = None,
    group: str | None = None,
    weight: float | None = None,
    policy: str | None = None,
    instance: str = "",
) -> AgentScope:
    """Give the calls inside `with` to an agent, over whatever the framework calls it; also a decorator.

    A smaller `priority` is more urgent (1 is the most urgent), `weight` is the share under weighted policies, `policy`
    the agent's scheduling class. What is left out comes from the agent around this one.
    """
    from aios_adapters import identity

    return identity.agent(name, priority=priority, group=group, weight=weight, policy=policy, instance=instance)


def status() -> Status:
    """Read what is in force: adapters with their versions and states, and the syscalls so far."""
    from aios_adapters import _status

    return _status.read()


def kernel() -> Gate | None:
    """The kernel in force; None when not enabled."""
    from aios_adapters import session

    now = session.in_force()
    return None if now is None else now.kernel
