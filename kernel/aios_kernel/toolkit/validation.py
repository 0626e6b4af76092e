"""Check arguments against a JSON schema, and say what is wrong in words that a model can act on.

The subset: type, enum, const, required, properties, patternProperties, additionalProperties, propertyNames, items,
prefixItems, anyOf, oneOf, allOf, not, $ref within the schema, and the bounds of numbers, texts, lists and objects. Other
keywords are annotations here.
"""

from __future__ import annotations

import difflib
import json
import math
import re
from collections.abc import Callable, Mapping
from typing import Any, cast

__all__ = ["parse_arguments", "problems"]

MAX_PROBLEMS = 8
MAX_DEPTH = 64
MAX_MATCHED = 10_000  # characters of a text that a pattern is tried on
Schema = Mapping[str, Any]
_PATTERNS = frozenset({"pattern", "patternProperties"})


def parse_arguments(given: Any) -> tuple[dict[str, Any], list[str]]:
    """The arguments as a dict, from a mapping, JSON text as a model writes it, or None; and what is wrong with them."""
    if given is None or (isinstance(given, str) and not given.strip()):
        return {}, []
    if isinstance(given, str):
        try:
            given = json.loads(given)
        except (ValueError, RecursionError) as error:
            return {}, [f"the arguments are not JSON: {error}"]
    if not isinstance(given, Mapping):
        return {}, [f"the arguments must be an object, not {_kind(given)}"]
    return dict(cast("Mapping[str, Any]", given)), []


def problems(value: Any, schema: Any, *, patterns: bool = True) -> list[str]:
    """What is wrong with a value, at most a few things; nothing for one that fits. Without `patterns` none is tried."""
    found = _Checker(schema, patterns=patterns).check(value, schema, "", 0)
    return found[:MAX_PROBLEMS]


class _Checker:
    """Walk value and schema together; `root` is what references start from."""

    def __init__(self, root: Any, *, patterns: bool) -> None:
        self._root, self._patterns = root, patterns

    def check(self, value: Any, schema: Any, at: str, depth: int) -> list[str]:  # noqa: PLR0911 - one rule a line
        if depth > MAX_DEPTH:
            return [f"{_where(at)} is nested too deeply"]
        if isinstance(schema, bool):
            return [] if schema else [f"{_where(at)} is not allowed"]
        if not isinstance(schema, Mapping):
            return []
        rules = cast("Schema", schema)
        if not self._patterns:
            rules = _without_patterns(rules)
        found = self._referred(value, rules, at, depth)
        kinds = rules.get("type")
        if kinds is not None and not _is_any(value, kinds):
            return [*found, f"{_where(at)} must be {_named(kinds)}, not {_kind(value)}{_shown(value)}"]
        if "enum" in rules and not any(_same(value, one) for one in rules["enum"]):
            return [*found, f"{_where(at)} must be one of {json.dumps(rules['enum'], default=str)}{_not(value)}"]
        if "const" in rules and not _same(value, rules["const"]):
            return [*found, f"{_where(at)} must be {json.dumps(rules['const'], default=str)}{_not(value)}"]
        found += _bounds(value, rules, at)
        if isinstance(value, Mapping):
            found += self._object(cast("Mapping[str, Any]", value), rules, at, depth)
        elif isinstance(value, (list, tuple)):
            found += self._list(list(cast("list[Any]", value)), rules, at, depth)
        return found + self._combined(value, rules, at, depth)

    def _referred(self, value: Any, rules: Schema, at: str, depth: int) -> list[str]:
        reference = rules.get("$ref")
        if not isinstance(reference, str):
            return []
        target = self._root
        for part in reference.lstrip("#").strip("/").split("/") if reference.strip("#/") else ():
            key = part.replace("~1", "/").replace("~0", "~")
            if not isinstance(target, Mapping) or key not in target:
                return []  # a schema that refers outside itself says nothing here
            target = cast("Schema", target)[key]
        return self.check(value, target, at, depth + 1)

    def _object(self, value: Mapping[str, Any], rules: Schema, at: str, depth: int) -> list[str]:
        properties: Schema = rules.get("properties") or {}
        patterns: Schema = rules.get("patternProperties") or {}
        found = [f"{_where(_join(at, key))} is missing" for key in rules.get("required", ()) if key not in value]
        for key, item in value.items():
            below = _join(at, key)
            if "propertyNames" in rules and self.check(key, rules["propertyNames"], below, depth + 1):
                found.append(f"{_where(below)} is not a name that is allowed")
            fitting = [rule for pattern, rule in patterns.items() if _matches(pattern, key)]
            if key in properties:
                fitting.append(properties[key])
            if fitting:
                found += [one for rule in fitting for one in self.check(item, rule, below, depth + 1)]
                continue
            extra = rules.get("additionalProperties", True)
            if extra is False:
                found.append(f"{_where(below)} is not known{_meant(key, properties)}")
            else:
                found += self.check(item, extra, below, depth + 1)
        return found

    def _list(self, value: list[Any], rules: Schema, at: str, depth: int) -> list[str]:
        first: list[Any] = rules.get("prefixItems") or []
        found: list[str] = []
        for index, item in enumerate(value):
            rule = first[index] if index < len(first) else rules.get("items", True)
            found += self.check(item, rule, f"{at}[{index}]", depth + 1)
        return found

    def _combined(self, value: Any, rules: Schema, at: str, depth: int) -> list[str]:
        found = [one for rule in rules.get("allOf", ()) for one in self.check(value, rule, at, depth + 1)]
        for key in ("anyOf", "oneOf"):
            if key not in rules:
                continue
            tried = [self.check(value, rule, at, depth + 1) for rule in rules[key]]
            fitting = sum(not one for one in tried)
            if not fitting:
                found.append(f"{_where(at)} fits none of what is allowed: {'; or '.join(one[0] for one in tried)}")
            elif key == "oneOf" and fitting > 1:
                found.append(f"{_where(at)} fits {fitting} of the forms that are allowed, of which it may be only one")
        if "not" in rules and not self.check(value, rules["not"], at, depth + 1):
            found.append(f"{_where(at)} has a form that is not allowed")
        return found


def _without_patterns(rules: Schema) -> Schema:
    if rules.keys().isdisjoint(_PATTERNS):
        return rules
    loose: dict[str, Any] = {key: rule for key, rule in rules.items() if key not in _PATTERNS}
    if "patternProperties" in rules:  # which of the other properties they would have allowed is not known either
        loose["additionalProperties"] = True
    return loose


def _bounds(value: Any, rules: Schema, at: str) -> list[str]:
    if isinstance(value, bool):
        return []
    if isinstance(value, (int, float)):
        return _number(value, rules, at)
    if isinstance(value, str):
        found = _size(len(value), rules, at, "minLength", "maxLength", "characters")
        pattern = rules.get("pattern")
        if isinstance(pattern, str) and not _matches(pattern, value):
            found.append(f"{_where(at)} must match the pattern {pattern!r}{_not(value)}")
        return found
    if isinstance(value, (list, tuple)):
        items = list(cast("list[Any]", value))
        found = _size(len(items), rules, at, "minItems", "maxItems", "items")
        if rules.get("uniqueItems") is True and any(_same(a, b) for i, a in enumerate(items) for b in items[:i]):
            found.append(f"{_where(at)} has an item twice")
        return found
    if isinstance(value, Mapping):
        return _size(len(cast("Schema", value)), rules, at, "minProperties", "maxProperties", "fields")
    return []


_COMPARED: dict[str, tuple[Callable[[Any, Any], bool], str]] = {
    "minimum": (lambda value, bound: value >= bound, "at least"),
    "maximum": (lambda value, bound: value <= bound, "at most"),
    "exclusiveMinimum": (lambda value, bound: value > bound, "more than"),
    "exclusiveMaximum": (lambda value, bound: value < bound, "less than"),
}


def _number(value: float, rules: Schema, at: str) -> list[str]:
    found = [
        f"{_where(at)} must be {words} {rules[key]}{_not(value)}"
        for key, (holds, words) in _COMPARED.items()
        if _is(rules.get(key), "number") and not holds(value, rules[key])
    ]
    step = rules.get("multipleOf")
    if isinstance(step, (int, float)) and step > 0 and not _divides(value, step):
        found.append(f"{_where(at)} must be a multiple of {step}{_not(value)}")
    return found


def _divides(value: float, step: float) -> bool:
    if isinstance(value, int) and isinstance(step, int):
        return value % step == 0
    times = value / step
    return math.isfinite(times) and math.isclose(times, round(times), rel_tol=1e-9, abs_tol=1e-9)


def _size(size: int, rules: Schema, at: str, least: str, most: str, what: str) -> list[str]:
    found: list[str] = []
    if isinstance(rules.get(least), int) and size < rules[least]:
        found.append(f"{_where(at)} must have at least {rules[least]} {what}, not {size}")
    if isinstance(rules.get(most), int) and size > rules[most]:
        found.append(f"{_where(at)} must have at most {rules[most]} {what}, not {size}")
    return found


def _matches(pattern: str, text: str) -> bool:
    try:
        return re.search(pattern, text[:MAX_MATCHED]) is not None
    except re.error:  # another dialect's pattern: what it says cannot be known here
        return True


_KINDS: dict[str, Callable[[Any], bool]] = {
    "string": lambda value: isinstance(value, str),
    "boolean": lambda value: isinstance(value, bool),
    "null": lambda value: value is None,
    "integer": lambda value: (
        not isinstance(value, bool) and (isinstance(value, int) or (isinstance(value, float) and value.is_integer()))
    ),
    "number": lambda value: not isinstance(value, bool) and isinstance(value, (int, float)),
    "object": lambda value: isinstance(value, Mapping),
    "array": lambda value: isinstance(value, (list, tuple)),
}


def _is(value: Any, kind: Any) -> bool:
    test = _KINDS.get(str(kind))
    return test is None or test(value)


def _is_any(value: Any, kinds: Any) -> bool:
    if isinstance(kinds, (list, tuple)):
        return any(_is(value, kind) for kind in cast("list[Any]", kinds))
    return _is(value, kinds)


def _same(one: Any, other: Any) -> bool:
    """Equality as JSON has it: true is not 1."""
    if isinstance(one, bool) or isinstance(other, bool):
        return one is other
    if isinstance(one, (list, tuple)) and isinstance(other, (list, tuple)):
        ones, others = cast("list[Any]", one), cast("list[Any]", other)
        return len(ones) == len(others) and all(map(_same, ones, others))
    if isinstance(one, Mapping) and isinstance(other, Mapping):
        left, right = cast("Schema", one), cast("Schema", other)
        return left.keys() == right.keys() and all(_same(item, right[key]) for key, item in left.items())
    return bool(one == other)


def _kind(value: Any) -> str:
    names = (name for name in ("null", "boolean", "integer", "number", "string", "array", "object") if _is(value, name))
    return next(names, type(value).__name__)


def _named(kinds: Any) -> str:
    return " or ".join(map(str, cast("list[Any]", kinds))) if isinstance(kinds, (list, tuple)) else str(kinds)


def _shown(value: Any) -> str:
    text = json.dumps(value, default=str)
    return f" ({text if len(text) <= 60 else text[:57] + '...'})"


def _not(value: Any) -> str:
    return f", not{_shown(value).replace(' (', ' ', 1)[:-1]}"


def _join(at: str, key: str) -> str:
    return f"{at}.{key}" if at else str(key)


def _where(at: str) -> str:
    return f"{at!r}" if at else "the arguments"


def _meant(key: str, properties: Schema) -> str:
    near = difflib.get_close_matches(str(key), [str(one) for one in properties], n=1)
    if near:
        return f"; did you mean {near[0]!r}?"
    return f"; known: {', '.join(sorted(properties))}" if properties else "; no arguments are taken"
