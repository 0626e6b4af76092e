"""Where a kernel keeps a journal: what a leased call gave is recorded as the framework had it, and given back as that."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, cast

from aios_adapters._log import warn_once
from aios_adapters.calls._codec import Unplain, decode, encode
from aios_kernel.errors import JournalError

if TYPE_CHECKING:
    from aios_kernel.gate import Grant

__all__ = ["arecord", "arecord_tool", "given_back", "pieces_back", "record", "record_tool", "recorded", "recording"]

NATIVE = "result"  # the form of what is kept here; the openai SDK's adapter keeps bodies


def recording(grant: Grant) -> bool:
    """Whether the result of this call is to be recorded."""
    return bool(getattr(grant, "records", False))


def recorded(grant: Grant, form: str = NATIVE) -> Any:
    """What an adapter kept of an earlier run's result; None where there is none. Raises `JournalError` for another form's."""
    kept = getattr(grant, "replay", None)
    if kept is None:
        return None
    if not isinstance(kept, dict) or form not in kept:
        raise JournalError("the journal's record was made by another adapter: record anew (journal_mode='refresh')")
    return kept[form]  # pyright: ignore[reportUnknownVariableType]


def given_back(kept: Any, grant: Grant | None = None) -> Any:
    """The framework's own result again; raises `JournalError` where the framework has changed too much.

    A tool's result that names the model's request for it names this run's request.
    """
    before, now = kept.get("call_id"), getattr(grant, "call_id", None)
    try:
        return decode(_renamed(kept["value"], before, now) if before and now and before != now else kept["value"])
    except Exception as error:
        raise JournalError(f"a recorded result cannot be given back, record anew: {error!r}") from error


def pieces_back(kept: Any) -> Iterator[Any]:
    """The pieces of a stream again; raises `JournalError` where the recorded one was left and this one is read on."""
    yield from given_back(kept)
    if kept.get("left"):
        raise JournalError(
            "a recorded stream was left by its reader here, and now more of it is asked for: record anew"
        )


def record(grant: Grant, result: Any, adapter: str, *, left: bool = False) -> None:
    """Record what a call to a model gave; one that cannot be kept will be made again.

    `left` says that these are the pieces of a stream up to where its reader had all that it wanted.
    """
    if recording(grant) and (data := _kept(grant, result, adapter, left=left)) is not None:
        grant.record(data)  # type: ignore[attr-defined]


async def arecord(grant: Grant, result: Any, adapter: str) -> None:
    """Do the same in this event loop."""
    if recording(grant) and (data := _kept(grant, result, adapter)) is not None:
        await grant.arecord(data)  # type: ignore[attr-defined]


def record_tool(grant: Grant, result: Any) -> None:
    """Record what a tool gave; of one that cannot be kept, that it has run."""
    if recording(grant):
        grant.record(**_tool(grant, result))  # type: ignore[attr-defined]


async def arecord_tool(grant: Grant, result: Any) -> None:
    """Do the same in this event loop."""
    if recording(grant):
        await grant.arecord(**_tool(grant, result))  # type: ignore[attr-defined]


def _renamed(data: Any, before: str, now: str) -> Any:
    if isinstance(data, dict):
        return {key: _renamed(value, before, now) for key, value in cast("dict[str, Any]", data).items()}
    if isinstance(data, list):
        return [_renamed(value, before, now) for value in cast("list[Any]", data)]
    return now if data == before else data


def _tool(grant: Grant, result: Any) -> dict[str, Any]:
    try:
        call_id = getattr(grant, "call_id", None)
        return {"native": {NATIVE: {"value": encode(result), **({"call_id": call_id} if call_id else {})}}}
    except Unplain as error:
        return {"opaque": str(error)}


def _kept(grant: Grant, result: Any, adapter: str, *, left: bool = False) -> Any:
    try:
        return {NATIVE: {"value": encode(result), **({"left": True} if left else {})}}
    except Unplain as error:
        warn_once(f"a result of adapter {adapter!r} cannot be journaled, so its call will be made again: {error}")
        grant.unrecorded()  # type: ignore[attr-defined]
        return None
