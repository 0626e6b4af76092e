"""Validation: what the reference implementation refuses is refused, and the words say what to change."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from aios_kernel.toolkit.validation import parse_arguments, problems

SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-3, 3),
    st.sampled_from([0.5, 1.0, 2.5, -1.5]),
    st.sampled_from(["", "a", "ab", "b1"]),
)
NAMES = st.sampled_from(["a", "b", "c1"])
VALUES = st.recursive(
    SCALARS, lambda one: st.lists(one, max_size=3) | st.dictionaries(NAMES, one, max_size=3), max_leaves=6
)
KINDS = st.sampled_from(["string", "integer", "number", "boolean", "null", "object", "array"])
BOUND = st.integers(0, 3)


def _rules(inner):
    """Schemas of the subset, each keyword at random."""
    return st.fixed_dictionaries(
        {},
        optional={
            "type": KINDS | st.lists(KINDS, min_size=1, max_size=2, unique=True),
            "enum": st.lists(VALUES, min_size=1, max_size=3),
            "const": VALUES,
            "properties": st.dictionaries(NAMES, inner, max_size=2),
            "patternProperties": st.dictionaries(st.sampled_from(["^a", "1$"]), inner, max_size=1),
            "propertyNames": inner,
            "required": st.lists(NAMES, max_size=2, unique=True),
            "additionalProperties": inner,
            "items": inner,
            "prefixItems": st.lists(inner, min_size=1, max_size=2),
            "anyOf": st.lists(inner, min_size=1, max_size=2),
            "oneOf": st.lists(inner, min_size=1, max_size=2),
            "allOf": st.lists(inner, min_size=1, max_size=2),
            "not": inner,
            "minimum": BOUND,
            "maximum": BOUND,
            "exclusiveMinimum": BOUND,
            "exclusiveMaximum": BOUND,
            "multipleOf": st.sampled_from([1, 2, 0.5]),
            "minLength": BOUND,
            "maxLength": BOUND,
            "pattern": st.sampled_from(["^a", "b", "[0-9]$"]),
            "minItems": BOUND,
            "maxItems": BOUND,
            "uniqueItems": st.booleans(),
            "minProperties": BOUND,
            "maxProperties": BOUND,
        },
    )


SCHEMAS = st.recursive(st.booleans() | _rules(st.booleans()), _rules, max_leaves=4)


@settings(max_examples=600, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(SCHEMAS, VALUES)
def test_it_agrees_with_the_reference(schema, value):
    """The same values fit as by the jsonschema library, whatever the schema of the subset."""
    jsonschema = pytest.importorskip("jsonschema")
    fits = jsonschema.Draft202012Validator(schema).is_valid(value)
    assert (problems(value, schema) == []) is fits


def test_references_and_nesting():
    """A schema may refer to itself; a value without end is not followed for ever."""
    tree = {
        "$ref": "#/$defs/node",
        "$defs": {"node": {"type": "object", "properties": {"below": {"$ref": "#/$defs/node"}}}},
    }
    assert problems({"below": {"below": {}}}, tree) == []
    assert problems({"below": {"below": 3}}, tree) == ["'below.below' must be object, not integer (3)"]
    assert problems({}, {"$ref": "#/$defs/loop", "$defs": {"loop": {"$ref": "#/$defs/loop"}}})
    assert problems(1, {"$ref": "https://elsewhere/schema"}) == []


@pytest.mark.parametrize(
    ("value", "schema", "says"),
    [
        (
            {"to": "x"},
            {"properties": {"to": {"enum": ["EUR", "USD"]}}},
            '\'to\' must be one of ["EUR", "USD"], not "x"',
        ),
        ({"n": 11}, {"properties": {"n": {"maximum": 10}}}, "'n' must be at most 10, not 11"),
        (
            {"l": [1, "x"]},
            {"properties": {"l": {"items": {"type": "integer"}}}},
            "'l[1]' must be integer, not string (\"x\")",
        ),
        ({"x": 1}, {"additionalProperties": False}, "'x' is not known; no arguments are taken"),
        (
            {"x": 1},
            {"properties": {"x": {"anyOf": [{"type": "string"}, {"type": "null"}]}}},
            "must be string, not integer (1)",
        ),
        ({"s": "ab"}, {"properties": {"s": {"minLength": 3}}}, "'s' must have at least 3 characters, not 2"),
    ],
)
def test_the_words(value, schema, says):
    """Where, what was expected, and what came."""
    assert says in "; ".join(problems(value, schema))


def test_many_problems_are_cut():
    """A model reads a few, not thousands."""
    assert len(problems([1] * 1000, {"items": {"type": "string"}})) == 8


def test_arguments():
    """A mapping, text of one, or nothing; everything else is said."""
    assert parse_arguments(None) == ({}, [])
    assert parse_arguments(" ") == ({}, [])
    assert parse_arguments('{"a": 1}') == ({"a": 1}, [])
    assert parse_arguments("[" * 100_000)[1]
    assert "must be an object, not integer" in parse_arguments("3")[1][0]


def test_patterns_can_be_left_to_others():
    """Then none is tried, however long it would take; everything else is checked."""
    endless = {
        "properties": {"a": {"type": "string", "pattern": "^(x+x+)+y$"}},
        "patternProperties": {"^(x+x+)+y$": {}},
    }
    closed = {**endless, "additionalProperties": False}
    assert problems({"a": "x" * 200, "x" * 200: 1}, closed, patterns=False) == []
    assert problems({"a": 1}, closed, patterns=False) == ["'a' must be string, not integer (1)"]
