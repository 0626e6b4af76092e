"""Tool calls: the formats, the parser in pieces, and grammars that only let valid calls through."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aios_kernel.cores.torch.grammar import GrammarCompiler, json_rule
from aios_kernel.cores.torch.tools import FORMATS, ToolFormat, ToolParser, detect
from tests.kernel.torch.support import tokenizer

MISTRAL, LLAMA, HERMES = FORMATS
ADD = {"name": "add", "parameters": {"type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a"]}}
CALL = '<tool_call>{"name": "add", "arguments": {"a":  1}}</tool_call>'


def read(form: ToolFormat, text: str, size: int, *, cut: bool = False) -> tuple[str, list[tuple[str, str]]]:
    """Parse a text that comes in pieces of `size` characters."""
    parser = ToolParser(form)
    found = [parser.push(text[at : at + size]) for at in range(0, len(text), size)] + [parser.flush(cut=cut)]
    return "".join(t for t, _ in found), [(c.name, c.arguments) for _, calls in found for c in calls]


@pytest.mark.parametrize("size", [1, 3, 1000])
@pytest.mark.parametrize(
    ("form", "text", "expected"),
    [
        (HERMES, "hello", ("hello", [])),
        (HERMES, CALL, ("", [("add", '{"a":  1}')])),
        (HERMES, f"I add.\n{CALL}", ("I add.\n", [("add", '{"a":  1}')])),
        (HERMES, f"{CALL}\n{CALL}\n", ("", [("add", '{"a":  1}')] * 2)),
        (HERMES, f"{CALL} done", (" done", [("add", '{"a":  1}')])),
        (HERMES, "a <tool_ca b <t", ("a <tool_ca b <t", [])),
        (HERMES, "<tool_call>{not json}</tool_call>!", ("<tool_call>{not json}</tool_call>!", [])),
        (HERMES, '<tool_call>{"name": "add", "arguments": "{}"}</tool_call>', ("", [("add", "{}")])),
        (HERMES, '<tool_call>{"name": "now"}</tool_call>', ("", [("now", "{}")])),
        (HERMES, '<tool_call>{"name": "add", "arguments": {"a": 1}}', ("", [("add", '{"a": 1}')])),
        (MISTRAL, '[TOOL_CALLS] [{"name": "f", "arguments": {}}]', ("", [("f", "{}")])),
        (MISTRAL, '[TOOL_CALLS][{"name": "f", "arguments": {"x": "[]"}}, {"name": "g", "arguments": {}}]',
         ("", [("f", '{"x": "[]"}'), ("g", "{}")])),
        (MISTRAL, "no [TOOL call", ("no [TOOL call", [])),
        (LLAMA, '{"name": "f", "parameters": {"q": 1}}', ("", [("f", '{"q": 1}')])),
        (LLAMA, 'it is {"name": 1}', ('it is {"name": 1}', [])),
        (LLAMA, '{"answer": 2}', ('{"answer": 2}', [])),
    ],
)  # fmt: skip
def test_parser_in_pieces(form: ToolFormat, text: str, expected: tuple[str, list[Any]], size: int) -> None:
    """Text and calls come apart the same however the reply is cut, arguments letter by letter as written."""
    assert read(form, text, size) == expected


def test_half_a_call_of_a_cut_reply_is_no_text() -> None:
    """A call that max_tokens cut off is dropped; one that the model gave up by itself is shown."""
    half = 'ok <tool_call>{"name": "ad'
    assert read(HERMES, half, 1, cut=True) == ("ok ", [])
    assert read(HERMES, half, 1) == (half, [])


def test_detection_by_template() -> None:
    """A template's own words give its format away; an unknown one has none."""
    assert detect("... [TOOL_CALLS] ...") is MISTRAL
    assert detect('... "parameters": dictionary of argument name and its value ...') is LLAMA
    assert detect("... <tool_call>{{ call | tojson }}</tool_call>") is HERMES
    assert detect("{{ messages }}") is None


def allows(words: Any, lark: str, text: str) -> bool:
    """Whether the grammar accepts the whole text."""
    constraint = GrammarCompiler(words, len(words), [words.eos_token_id]).compile(lark, "it")
    for token in words.encode(text):
        if constraint.blocked(len(words))[token]:
            return False
        constraint.accept(token)
    return not constraint.blocked(len(words))[words.eos_token_id]


@pytest.mark.parametrize("words", [tokenizer(), tokenizer("<tool_call>", "</tool_call>")], ids=["spelled", "tokens"])
def test_hermes_grammar(words: Any) -> None:
    """Text, text with calls, and several calls pass; a wrong name, a wrong type and an unknown key do not."""
    lark = HERMES.grammar([ADD], words.get_added_vocab().get)
    good = '<tool_call>{"name": "add", "arguments": {"a": 1}}</tool_call>'
    for text in ("hello", "a < b <tool", good, f"so: {good}", f"{good}\n{good}"):
        assert allows(words, lark, text), text
    for bad in ('{"name": "sub", "arguments": {"a": 1}}', '{"name": "add", "arguments": {"a": "1"}}',
                '{"name": "add", "arguments": {"a": 1, "b": 2}}', '{"name": "add", "arguments": {}}'):  # fmt: skip
        assert not allows(words, lark, f"<tool_call>{bad}</tool_call>"), bad


@pytest.mark.parametrize("words", [tokenizer(), tokenizer("<tool_call>", "</tool_call>")], ids=["spelled", "tokens"])
def test_required_single_and_answer(words: Any) -> None:
    """A required call leaves no text, a single one no second, and a response format no free answer."""
    ids = words.get_added_vocab().get
    good = '<tool_call>{"name": "add", "arguments": {"a": 1}}</tool_call>'
    assert not allows(words, HERMES.grammar([ADD], ids, required=True), "hello")
    assert allows(words, HERMES.grammar([ADD], ids, required=True), good)
    assert not allows(words, HERMES.grammar([ADD], ids, parallel=False), good + good)
    answer = HERMES.grammar([ADD], ids, answer=json_rule({"type": "boolean"}))
    assert [allows(words, answer, text) for text in ("true", good, "hello")] == [True, True, False]


@pytest.mark.parametrize(
    ("form", "good", "bad"),
    [
        (MISTRAL, '[TOOL_CALLS] [{"name": "add", "arguments": {"a": 1}}]', '[TOOL_CALLS] [{"name": "add"}]'),
        (LLAMA, '{"name": "add", "parameters": {"a": 1}}', '{"name": "add", "arguments": {"a": 1}}'),
    ],
)
def test_other_grammars(form: ToolFormat, good: str, bad: str) -> None:
    """Mistral's list and Llama's bare object are enforced too."""
    words = tokenizer()
    lark = form.grammar([ADD], words.get_added_vocab().get)
    assert [allows(words, lark, text) for text in (good, "just text", bad)] == [True, True, False]


def test_references_inside_a_tools_schema() -> None:
    """A schema with its own definitions keeps them, beside another tool with the same names."""

    def tool(name: str, kind: str) -> dict[str, Any]:
        parameters = {"type": "object", "properties": {"x": {"$ref": "#/$defs/X"}}, "required": ["x"]}
        return {"name": name, "parameters": {**parameters, "$defs": {"X": {"type": kind}}}}

    words = tokenizer()
    lark = HERMES.grammar([tool("f", "integer"), tool("g", "boolean")], words.get_added_vocab().get)
    said = '<tool_call>{{"name": "{}", "arguments": {{"x": {}}}}}</tool_call>'
    wanted = {("f", "1"): True, ("g", "true"): True, ("f", "true"): False, ("g", "1"): False}
    assert {key: allows(words, lark, said.format(*key)) for key in wanted} == wanted


LEAVES = st.sampled_from(
    [{"type": "integer"}, {"type": "boolean"}, {"type": "null"}, {"type": "number"}, {"enum": ["a", "b", 3]},
     {"type": "string", "maxLength": 4}, {"type": "integer", "minimum": 5, "maximum": 90}]
)  # fmt: skip


def _more(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.one_of(
        st.builds(lambda item: {"type": "array", "items": item, "maxItems": 3}, inner),
        st.dictionaries(st.sampled_from("xyz"), inner, max_size=3).map(
            lambda found: {
                "type": "object",
                "properties": found,
                "required": list(found),
                "additionalProperties": False,
            }
        ),
    )


def valid(schema: dict[str, Any], value: Any) -> bool:
    """Check the few keywords that the schemas above use."""
    if "enum" in schema:
        return value in schema["enum"]
    kind = schema["type"]
    if kind == "array":
        return isinstance(value, list) and len(value) <= 3 and all(valid(schema["items"], one) for one in value)
    if kind == "object":
        properties = schema["properties"]
        return (
            isinstance(value, dict)
            and set(value) == set(properties)
            and all(valid(properties[key], one) for key, one in value.items())
        )
    if kind == "integer":
        return type(value) is int and schema.get("minimum", value) <= value <= schema.get("maximum", value)
    types: dict[str, Any] = {"boolean": bool, "null": type(None), "number": (int, float), "string": str}
    return isinstance(value, types[kind]) and len(value if kind == "string" else "") <= schema.get("maxLength", 0)


COMPILER = GrammarCompiler(tokenizer(), len(tokenizer()), [tokenizer().eos_token_id])


@given(st.recursive(LEAVES, _more, max_leaves=6), st.randoms(use_true_random=False))
@settings(max_examples=100, deadline=None)
def test_random_walks_through_random_schemas_are_valid(schema: dict[str, Any], random: Any) -> None:
    """Tokens drawn at random under the mask always end in JSON that the schema allows."""
    words = tokenizer()
    constraint = COMPILER.compile(f"start: {json_rule(schema)}", "it")
    out: list[int] = []
    for step in range(400):
        allowed = [i for i, blocked in enumerate(constraint.blocked(len(words))) if not blocked]
        # Numbers have no longest form: end them, and everything else, as soon as the grammar lets us.
        token = words.eos_token_id if words.eos_token_id in allowed and step > 3 else random.choice(allowed)
        if token == words.eos_token_id:
            break
        out.append(token)
        if constraint.accept(token):
            break
    else:
        return
    assert valid(schema, json.loads(words.decode(out)))
