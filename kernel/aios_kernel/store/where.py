"""Filters on metadata: checked once, then tested in Python or turned into SQL, with the same meaning."""

from __future__ import annotations

import json
import math
import operator
import re
from typing import TYPE_CHECKING, Any, cast

from aios_kernel.errors import StoreError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

__all__ = ["Condition", "encode", "matches", "parse", "to_sql"]

#: Key, operator and value of one condition; all of a filter have to hold.
Condition = tuple[str, str, Any]
_KEY = re.compile(r"[A-Za-z_][A-Za-z0-9_.:-]*")
_ORDERS: dict[str, Callable[[Any, Any], bool]] = {
    "$gt": operator.gt,
    "$gte": operator.ge,
    "$lt": operator.lt,
    "$lte": operator.le,
}
_SIGNS = {"$gt": ">", "$gte": ">=", "$lt": "<", "$lte": "<="}
_LARGEST = 2**63


def parse(where: Mapping[str, Any] | None) -> list[Condition]:
    """Return the conditions of a filter; `StoreError` says what cannot be asked."""
    conditions: list[Condition] = []
    for key, wanted in (where or {}).items():
        if not _KEY.fullmatch(key):
            raise StoreError(f"cannot filter by {key!r}: use a name of letters, digits and _.:-")
        asked: dict[str, Any] = (
            cast("dict[str, Any]", dict(wanted)) if isinstance(wanted, dict) else {"$eq": wanted}  # pyright: ignore[reportUnknownArgumentType]
        )
        for name, value in asked.items():
            _check(key, name, value)
            conditions.append((key, name, value))
    return conditions


def _check(key: str, name: str, value: Any) -> None:
    if name not in {"$eq", "$ne", "$in", *_ORDERS}:
        raise StoreError(f"unknown operator {name!r} for {key!r}: use $eq, $ne, $in, $gt, $gte, $lt or $lte")
    if name == "$in" and not isinstance(value, list | tuple):
        raise StoreError(f"$in for {key!r} needs a list")
    values: Sequence[Any] = cast("Sequence[Any]", value) if name == "$in" else [value]
    for one in values:
        if one is not None and not isinstance(one, str | int | float):
            raise StoreError(f"{key!r} cannot be compared with {one!r}: use text, a number, true, false or null")
        if isinstance(one, float) and not math.isfinite(one):
            raise StoreError(f"{key!r} cannot be compared with {one}")
        if isinstance(one, int) and not -_LARGEST <= one < _LARGEST:
            raise StoreError(f"{one} is too large to compare {key!r} with")
        if name in _ORDERS and (one is None or isinstance(one, bool)):
            raise StoreError(f"{name} for {key!r} needs text or a number")


def _kind(value: Any) -> str:
    if isinstance(value, bool):
        return "bool"
    if isinstance(value, int | float):
        return "number"
    return "text" if isinstance(value, str) else "null" if value is None else "other"


def encode(metadata: Mapping[str, Any]) -> str:
    """Return metadata as JSON text; `StoreError` for what is not plain data."""
    try:
        return json.dumps(dict(metadata), allow_nan=False)
    except (TypeError, ValueError) as error:
        raise StoreError(f"metadata has to be plain JSON data: {error}") from error


def matches(metadata: Mapping[str, Any], conditions: Sequence[Condition]) -> bool:
    """Whether metadata meets all conditions. Values of different kinds are unequal and in no order; a missing one is null."""
    return all(_holds(metadata.get(key), name, value) for key, name, value in conditions)


def _holds(found: Any, name: str, value: Any) -> bool:
    if name == "$in":
        return any(_holds(found, "$eq", one) for one in value)
    same_kind = _kind(found) == _kind(value)
    if name == "$ne":
        return not (same_kind and found == value)
    if name == "$eq":
        return same_kind and found == value
    return same_kind and _ORDERS[name](found, value)


_TYPES = {
    "bool": ("true", "false"),
    "number": ("integer", "real"),
    "text": ("text",),
}


def to_sql(conditions: Sequence[Condition], column: str = "metadata") -> tuple[str, list[Any]]:
    """Return the same as an SQL expression over a column of JSON text, with its parameters; "" for no conditions."""
    parts: list[str] = []
    values: list[Any] = []
    for key, name, value in conditions:
        sql, more = _one(column, f'$."{key}"', name, value)
        parts.append(sql)
        values += more
    return " AND ".join(parts), values


def _one(column: str, path: str, name: str, value: Any) -> tuple[str, list[Any]]:
    if name == "$in":
        options = [_one(column, path, "$eq", one) for one in value]
        if not options:
            return "0", []
        return f"({' OR '.join(sql for sql, _ in options)})", [one for _, more in options for one in more]
    if name == "$ne":
        sql, more = _one(column, path, "$eq", value)
        return f"NOT {sql}", more
    if value is None:
        return f"(coalesce(json_type({column}, ?), 'null') = 'null')", [path]
    types = ", ".join(f"'{one}'" for one in _TYPES[_kind(value)])
    sign = _SIGNS.get(name, "=")
    return (
        f"(coalesce(json_type({column}, ?), '') IN ({types}) AND json_extract({column}, ?) {sign} ?)",
        [path, path, value],
    )
