"""Entering the kernel: is this call ours, whose is it, and what to do with a refusal."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Generator
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from aios_adapters import identity, session
from aios_adapters._carried import Claim, assigned, claimed, kept_grants
from aios_adapters.calls._entry import Entry
from aios_kernel.errors import JournalError, SyscallError
from aios_kernel.logs import logger

if TYPE_CHECKING:
    from aios_kernel.abi import Call, LLMCall, Usage
    from aios_kernel.gate import Grant

__all__ = [
    "ReadUsage",
    "Refused",
    "claiming",
    "enter",
    "enter_llm",
    "inside_llm",
    "keep",
    "leased_grant",
    "refusals",
    "report",
]

log = logger("aios_adapters")
Refused = Callable[[SyscallError], BaseException]
ReadUsage = Callable[[Any], "Usage | None"]


def inside_llm() -> bool:
    """Whether this context is inside an LLM syscall: what is called here passes through."""
    claim = claimed.get()
    return claim is not None and claim.open


def enter(adapter: str, build: Callable[[], Call | None], *, lease: bool = False) -> Entry | None:
    """Prepare the syscall of one call; None where the call is native: not enabled, paused, or not translatable.

    With `lease` the framework does the work itself, whatever managers the kernel has.
    """
    now = session.current()
    if now is None:
        return None
    try:
        call = build()
        if call is not None and call.agent is None:
            call = replace(call, agent=identity.current(now.resolvers), lease=lease or call.lease)
        elif call is not None and lease:
            call = replace(call, lease=True)
    except Exception as error:  # noqa: BLE001 - nothing has been dispatched: the program's own call still works
        now.fell_back(adapter, error)
        return None
    if call is None:
        return None
    now.called(adapter)
    return Entry(now, now.kernel.syscall(call))


def enter_llm(adapter: str, build: Callable[[], LLMCall | None]) -> Entry | None:
    """Prepare the syscall of a call to a language model; None also inside another one, which this is then a part of."""
    return None if inside_llm() else enter(adapter, build)


def leased_grant() -> Grant | None:
    """The grant of the LLM syscall this context is inside of."""
    claim = claimed.get()
    return claim.grant if claim is not None and claim.open else None


def keep(grant: Grant) -> Grant:
    """Keep a grant for a stream that outlives its call, and tell whoever leaves streams early in this context."""
    kept, told = grant.keep(), kept_grants.get()
    if told is not None:
        told.append(kept)
    return kept


@contextlib.contextmanager
def claiming(grant: Grant) -> Generator[Claim, None, None]:
    """Mark this context as inside an LLM syscall."""
    claim = Claim(grant)
    try:
        with assigned(claimed, claim):
            yield claim
    finally:
        claim.open = False


@contextlib.contextmanager
def refusals(refused: Refused | None) -> Generator[None, None, None]:
    """Turn what the kernel answers into what the framework raises, with the kernel's error as its cause."""
    try:
        yield
    except JournalError:  # whoever asked for a replay is to see what is wrong with it, in our words
        raise
    except SyscallError as error:
        native = error if refused is None else refused(error)
        if native is error:
            raise
        raise native from error


def report(grant: Grant, usage: ReadUsage | None, result: Any) -> None:
    """Tell the kernel what a leased call used; a result that cannot be read is the program's all the same."""
    if usage is None:
        return
    try:
        used = usage(result)
        if used is not None:
            grant.report(used)
    except Exception:  # the call itself is done and good
        log.warning("the usage of a call could not be read", exc_info=True)
