"""Frameworks' own results as plain data and back: pydantic models, dataclasses and plain values, each in its own type."""

from __future__ import annotations

import base64
import enum
import importlib
import sys
from collections.abc import Callable, Mapping
from dataclasses import fields, is_dataclass
from datetime import date, datetime, time
from typing import Any, cast
from uuid import UUID

__all__ = ["Unplain", "decode", "encode"]

Decoder = Callable[[Any, str], Any]
DEEPEST = 100
TRIES = 3  # litellm writes into the pieces of a stream that has ended, in a thread of its own


class Unplain(TypeError):
    """A value that cannot be kept so that it comes back as it was."""


def encode(value: Any) -> Any:
    """A value as JSON data from which `decode` makes its equal; raises `Unplain` where that cannot be had."""
    try:
        for _ in range(TRIES):
            data = _encode(value, 0)
            if _alike(value, decode(data)):
                return data
    except Unplain:
        raise
    except Exception as error:  # somebody else's objects may raise anything
        raise Unplain(f"{type(value).__qualname__}: {error!r}") from error
    raise Unplain(f"{type(value).__qualname__} does not come back as it was")


def decode(data: Any) -> Any:
    """The value again. No constructor runs: an object gets the state that it had."""
    if isinstance(data, list):
        return [decode(one) for one in cast("list[Any]", data)]
    if not isinstance(data, dict):
        return data
    given = cast("dict[str, Any]", data)
    kind = given.get("$")
    if kind is None:
        return {key: decode(value) for key, value in given.items()}
    return _DECODERS[kind](given["v"], given.get("t", ""))


def _alike(value: Any, again: Any) -> bool:
    return type(value) is type(again) and bool(value == again)


def _encode(value: Any, depth: int) -> Any:
    if value is None or type(value) in {bool, int, float, str}:
        return value
    if depth > DEEPEST:
        raise Unplain("it is nested too deeply, or inside itself")
    depth += 1
    if type(value) is list:
        return [_encode(one, depth) for one in cast("list[Any]", value)]
    if type(value) is dict:
        return _mapping(cast("dict[Any, Any]", value), depth)
    return _other(value, depth)


def _other(value: Any, depth: int) -> Any:
    if type(value) in {tuple, set, frozenset}:
        return _tagged(type(value).__name__, [_encode(one, depth) for one in value])
    if isinstance(value, (bytes, bytearray)):
        return _tagged(type(value).__name__, base64.b64encode(value).decode())
    if type(value) in {datetime, date, time}:
        return _tagged(type(value).__name__, value.isoformat())
    return _object(value, depth)


def _mapping(value: dict[Any, Any], depth: int) -> Any:
    if all(type(key) is str for key in value) and "$" not in value:
        return {key: _encode(one, depth) for key, one in value.items()}
    return _tagged("dict", [[_encode(key, depth), _encode(one, depth)] for key, one in value.items()])


def _object(value: Any, depth: int) -> Any:
    kind: Any = value.__class__
    if isinstance(value, UUID):
        return _tagged("uuid", str(value))
    if isinstance(value, enum.Enum):
        return _tagged("enum", _encode(value.value, depth), kind)
    if _is_model(kind):
        return _tagged("model", _encode(value.__getstate__(), depth), kind)
    if is_dataclass(value):
        state = {one.name: getattr(value, one.name) for one in fields(value) if hasattr(value, one.name)}
        return _tagged("dataclass", _encode(state, depth), kind)
    if _has_plain_state(kind):
        return _tagged("object", _encode(vars(value), depth), kind)
    for base, plain in ((str, "str"), (int, "int"), (float, "float")):  # NewTypes' classes and the like lose nothing
        if isinstance(value, base) and kind.__mro__[1] is base:
            return _tagged(plain, base(value), kind)
    raise Unplain(f"{kind.__module__}.{kind.__qualname__} is no plain data")


def _tagged(kind: str, value: Any, type_: type[Any] | None = None) -> dict[str, Any]:
    if type_ is None:
        return {"$": kind, "v": value}
    if "<locals>" in type_.__qualname__:
        raise Unplain(f"{type_.__qualname__} cannot be found by its name")
    return {"$": kind, "t": f"{type_.__module__}:{type_.__qualname__}", "v": value}


def _is_model(kind: type[Any]) -> bool:
    pydantic = sys.modules.get("pydantic")
    return pydantic is not None and issubclass(kind, pydantic.BaseModel)


def _has_plain_state(kind: Any) -> bool:
    """Whether an object of a framework's own class is its `__dict__`, and can be compared with another."""
    own: list[type[Any]] = [cls for cls in kind.__mro__ if cls is not object]
    # What `__getstate__` leaves out is kept here, or found to be no plain data.
    hidden = any(vars(cls).get("__slots__") or "__reduce__" in vars(cls) for cls in own)
    native = any(cls.__module__ == "builtins" for cls in own)
    return not (hidden or native) and kind.__eq__ is not object.__eq__ and kind.__reduce_ex__ is object.__reduce_ex__


def _class(name: str) -> type[Any]:
    module, _, path = name.partition(":")
    found: Any = importlib.import_module(module)
    for part in path.split("."):
        found = getattr(found, part)
    if not isinstance(found, type):
        raise Unplain(f"{name} is no class")
    return cast("type[Any]", found)


def _model(value: Any, name: str) -> Any:
    kind: Any = _class(name)
    if not _is_model(kind):
        raise Unplain(f"{name} is no model")
    made = kind.__new__(kind)
    made.__setstate__(decode(value))
    return made


def _dataclass(value: Any, name: str) -> Any:
    kind = _class(name)
    if not is_dataclass(kind):
        raise Unplain(f"{name} is no dataclass")
    made: Any = object.__new__(kind)
    for key, one in cast("Mapping[str, Any]", decode(value)).items():
        object.__setattr__(made, key, one)
    return made


def _state(value: Any, name: str) -> Any:
    kind: Any = _class(name)
    if not _has_plain_state(kind):
        raise Unplain(f"{name} has no plain state")
    made = object.__new__(kind)
    vars(made).update(decode(value))
    return made


def _value(value: Any, name: str) -> Any:
    kind = _class(name)
    if not issubclass(kind, (enum.Enum, str, int, float)):
        raise Unplain(f"{name} is no plain value")
    return kind(decode(value))


def _series(kind: Any) -> Decoder:
    return lambda value, _: kind(decode(value))


def _text(kind: Any) -> Decoder:
    return lambda value, _: kind(value)


def _bytes(kind: Any) -> Decoder:
    return lambda value, _: kind(base64.b64decode(value))


_DECODERS: dict[str, Decoder] = {
    **{kind.__name__: _series(kind) for kind in (tuple, set, frozenset)},
    **{kind.__name__: _bytes(kind) for kind in (bytes, bytearray)},
    **{kind.__name__: _text(kind.fromisoformat) for kind in (datetime, date, time)},
    "uuid": _text(UUID),
    "dict": lambda value, _: {decode(key): decode(one) for key, one in value},
    **dict.fromkeys(("enum", "str", "int", "float"), _value),
    "model": _model,
    "dataclass": _dataclass,
    "object": _state,
}
