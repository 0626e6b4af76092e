"""Values as data: calls, usage, replies and their pieces, status and events."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import MISSING, Field, fields, is_dataclass
from functools import cache
from typing import TYPE_CHECKING, Any, cast

from aios_kernel import abi
from aios_kernel.abi import Agent, Call, Delta, Reply, Sampling, ToolRequest, ToolRequestDelta, Usage
from aios_kernel.kernel import KernelStatus
from aios_kernel.protocol.errors import encode_error
from aios_kernel.protocol.lines import ProtocolError, plain
from aios_kernel.secrets import redact_data

if TYPE_CHECKING:
    from aios_kernel.events import Event

__all__ = [
    "decode_call",
    "decode_delta",
    "decode_reply",
    "decode_status",
    "decode_usage",
    "encode_call",
    "encode_delta",
    "encode_event",
    "encode_reply",
    "encode_status",
    "encode_usage",
]

_CALLS: dict[str, type[Call]] = {
    name: found
    for name in abi.__all__
    if isinstance(found := getattr(abi, name), type) and issubclass(found, Call) and found not in {Call, abi.LLMCall}
}


@cache
def _fields(kind: Any) -> tuple[tuple[str, Any], ...]:
    """Names and defaults of a dataclass's fields."""
    return tuple((one.name, _default(one)) for one in fields(kind))


def _default(one: Field[Any]) -> Any:
    return one.default_factory() if one.default_factory is not MISSING else one.default


def _encode(value: Any, kind: type[Any] | None = None) -> dict[str, Any]:
    """A dataclass as its fields that are not at their defaults."""
    found: dict[str, Any] = {}
    for name, default in _fields(kind or value.__class__):
        field = getattr(value, name)
        if field is default or (default is not MISSING and type(field) is type(default) and field == default):
            continue
        found[name] = _encode(field) if is_dataclass(field) else field
    return found


def _known(kind: type[Any], data: Any) -> dict[str, Any]:
    if not isinstance(data, Mapping):
        raise ProtocolError(f"{kind.__name__} is {data!r}")
    given = cast("Mapping[str, Any]", data)
    return {name: given[name] for name, _ in _fields(kind) if name in given}


def _made(kind: type[Any], values: dict[str, Any]) -> Any:
    try:
        return kind(**values)
    except (TypeError, ValueError) as error:
        raise ProtocolError(f"{kind.__name__}: {error}") from error


def encode_call(call: Call) -> dict[str, Any]:
    """A call; one of a class of somebody's own goes as the nearest class of ours."""
    kind = next((one for one in type(call).__mro__ if _CALLS.get(one.__name__) is one), None)
    if kind is None:
        raise ProtocolError(
            f"{type(call).__name__} is no call that another process knows: use a class of aios_kernel.abi"
        )
    return {"type": kind.__name__, **_encode(call, kind)}


def decode_call(data: Any) -> Call:
    """A call; raises `ProtocolError`."""
    given: Mapping[str, Any] = cast("Mapping[str, Any]", data) if isinstance(data, Mapping) else {}
    kind = _CALLS.get(str(given.get("type")))
    if kind is None:
        raise ProtocolError(f"this is no call: {str(given)[:80]}")
    values = _known(kind, given)
    if values.get("agent") is not None:
        values["agent"] = _made(Agent, _known(Agent, values["agent"]))
    if "sampling" in values:
        sampling = _known(Sampling, values["sampling"])
        values["sampling"] = _made(Sampling, {**sampling, "stop": tuple(sampling.get("stop", ()))})
    return _made(kind, values)


def encode_usage(usage: Usage) -> dict[str, int]:
    """Tokens used."""
    return _encode(usage)


def decode_usage(data: Any) -> Usage:
    """Tokens used; raises `ProtocolError`."""
    return _made(Usage, _known(Usage, data))


def encode_delta(delta: Delta) -> dict[str, Any]:
    """A piece of a reply."""
    found = _encode(delta)
    if delta.tool_calls:
        found["tool_calls"] = [_encode(one) for one in delta.tool_calls]
    return found


def decode_delta(data: Any) -> Delta:
    """A piece of a reply; raises `ProtocolError`."""
    return _made(Delta, _reply_parts(_known(Delta, data), ToolRequestDelta))


def encode_reply(reply: Reply) -> dict[str, Any]:
    """A whole reply."""
    found = _encode(reply)
    if reply.tool_calls:
        found["tool_calls"] = [_encode(one) for one in reply.tool_calls]
    return found


def decode_reply(data: Any) -> Reply:
    """A whole reply; raises `ProtocolError`."""
    values = _reply_parts(_known(Reply, data), ToolRequest)
    if "vectors" in values:
        values["vectors"] = tuple(tuple(vector) for vector in values["vectors"])
    return _made(Reply, values)


def _reply_parts(values: dict[str, Any], request: type[Any]) -> dict[str, Any]:
    if "tool_calls" in values:
        values["tool_calls"] = tuple(_made(request, _known(request, one)) for one in values["tool_calls"])
    if values.get("usage") is not None:
        values["usage"] = decode_usage(values["usage"])
    return values


def encode_status(status: KernelStatus) -> dict[str, Any]:
    """A kernel's status."""
    rows = {"resources": plain(status.resources), "agents": plain(status.agents)}
    more = {"budgets": plain(status.budgets)} if status.budgets else {}
    return {"syscalls": status.syscalls, **rows, **more}


def decode_status(data: Any) -> KernelStatus:
    """A kernel's status; raises `ProtocolError`."""
    return _made(KernelStatus, _known(KernelStatus, data))


def encode_event(event: Event) -> dict[str, Any]:
    """An event, with what its details and content hold as far as JSON has a form for it, and no secrets."""
    found = _encode(event)
    if event.details:
        found["details"] = {key: _detail(value) for key, value in event.details.items()}
    if event.content is not None:
        found["content"] = _detail(event.content)
    return redact_data(found)


def _detail(value: Any) -> Any:
    if isinstance(value, BaseException):
        return encode_error(value)
    if isinstance(value, Call):
        return plain(encode_call(value))
    if isinstance(value, (Usage, Reply)):
        return encode_reply(value) if isinstance(value, Reply) else encode_usage(value)
    return plain(value)
