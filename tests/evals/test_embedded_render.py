"""The training text is exactly what the chat template and the ReAct prompt make of the same conversation."""

from __future__ import annotations

import json
from typing import Any

import pytest

from aios_evals.embedded import render
from aios_evals.embedded.tasks import KINDS, Task, solve
from aios_evals.embedded.toolsets import Tool, shipped, varied
from aios_evals.embedded.words import Source
from aios_kernel import react
from aios_kernel.models import embedded

jinja = pytest.importorskip("jinja2.sandbox")


def apply(messages: list[dict[str, Any]], tools: list[dict[str, Any]] | None, *, prompt: bool = False) -> str:
    """Render as transformers does: its sandbox, its options, its tojson."""
    environment = jinja.ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True)
    environment.filters["tojson"] = lambda value, **_: json.dumps(value, ensure_ascii=False)
    text = environment.from_string(embedded.chat_template()).render(
        messages=messages, tools=tools, add_generation_prompt=prompt
    )
    assert isinstance(text, str)
    return text


def as_messages(system: str, task: Task, tools: list[Tool], *, text: bool) -> list[dict[str, Any]]:
    """Return a solved task as OpenAI-style messages, arguments as text or as objects."""
    names = {tool.kind: tool for tool in tools}
    messages: list[dict[str, Any]] = [{"role": "system", "content": system}] if system else []
    messages.append({"role": "user", "content": [{"type": "text", "text": task.request}]})
    done = solve(task)
    for index, (kind, values, result) in enumerate(done.steps):
        arguments = dict(zip(names[kind].parameters, values, strict=True))
        function = {
            "name": names[kind].name,
            "arguments": json.dumps(arguments, ensure_ascii=False) if text else arguments,
        }
        call = {"id": str(index), "type": "function", "function": function}
        messages.append({"role": "assistant", "content": None if text else "", "tool_calls": [call]})
        messages.append({"role": "tool", "tool_call_id": str(index), "content": result})
    return [*messages, {"role": "assistant", "content": done.answer}]


@pytest.mark.parametrize("text", [True, False])
@pytest.mark.parametrize("system", ["", "You are a helpful assistant."])
def test_chat_with_tools_is_rendered_as_the_template_does(system: str, *, text: bool) -> None:
    """Every kind of task gives the same text both ways."""
    s = Source(5)
    for make, _ in KINDS.values():
        task, tools = make(s), list(shipped())
        ours = render.tools_prefix(system, tools) + "".join(part for part, _ in render.chat_segments([task], tools))
        assert apply(as_messages(system, task, tools, text=text), [tool.spec() for tool in tools]) == ours


def test_tool_lines_agree() -> None:
    """The ReAct prompt, the template and the generator show a tool in the same words."""
    s = Source(6)
    for tool in [tool for _ in range(30) for tool in varied(s)]:
        assert react.format_tool(tool.spec()) == tool.line()
        assert tool.line() in apply([{"role": "user", "content": "x"}], [tool.spec()])


def test_react_is_rendered_as_the_loop_does() -> None:
    """The messages of the ReAct loop give the training text."""
    s = Source(7)
    for make, _ in KINDS.values():
        task, tools = make(s), list(shipped())
        segments = render.react_segments(task, tools)
        messages = react.format_prompt([tool.spec() for tool in tools], task.request)
        replies = [part.removesuffix("<|im_end|>") for part, learned in segments if learned]
        for reply, (_, _, result) in zip(replies, solve(task).steps, strict=False):
            messages += react.observation(reply, result)
        messages.append({"role": "assistant", "content": replies[-1]})
        assert apply(messages, None) == render.react_prefix(tools) + "".join(part for part, _ in segments)
        assert isinstance(react.parse(replies[-1]), react.Answer)


def test_plain_chat_is_as_in_the_base_model() -> None:
    """Without tools the template is that of the base model, default system message included."""
    messages = [{"role": "user", "content": "Hi"}]
    want = render.turn("system", render.DEFAULT_SYSTEM) + render.turn("user", "Hi") + "<|im_start|>assistant\n"
    assert apply(messages, None, prompt=True) == want


def test_template_shows_optional_and_enumerated_parameters() -> None:
    """Schemas as frameworks dress them come out short."""
    properties = {
        "a": {"type": "integer", "title": "A"},
        "b": {"enum": ["x", "y"], "type": "string"},
        "c": {"anyOf": [{"type": "string"}, {"type": "null"}]},
    }
    spec = {"type": "function", "function": {"name": "f", "description": "Do.\nMore.", "strict": False}}
    spec["function"]["parameters"] = {
        "type": "object",
        "properties": properties,
        "required": ["a"],
        "additionalProperties": False,
    }  # type: ignore[index]
    line = '- f(a: integer, b?: "x"|"y", c?: string|null) - Do. More.'
    assert line in apply([{"role": "user", "content": "x"}], [spec])
    assert react.format_tool(spec) == line


def test_several_calls_in_one_turn_are_kept() -> None:
    """A turn with two calls and text keeps all three."""
    calls = [{"function": {"name": "f", "arguments": "{}"}}, {"function": {"name": "g", "arguments": {"a": 1}}}]
    text = apply(
        [{"role": "user", "content": "x"}, {"role": "assistant", "content": "Well.", "tool_calls": calls}], None
    )
    assert (
        'Well.<tool_call>{"name": "f", "arguments": {}}</tool_call><tool_call>{"name": "g", "arguments": {"a": 1}}</tool_call>'
        in text
    )
