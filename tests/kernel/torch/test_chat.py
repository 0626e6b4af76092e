"""Chats in OpenAI's shape become what templates expect."""

from __future__ import annotations

import json
from typing import Any

from aios_kernel import ChatCall, Sampling
from aios_kernel.cores.torch import chat as shaping
from tests.kernel.torch.support import TEMPLATE, core, tokenizer

CALLED = {
    "role": "assistant",
    "content": None,
    "tool_calls": [{"id": "1", "type": "function", "function": {"name": "add", "arguments": '{"a": 1}'}}],
}
RESULT = {"role": "tool", "tool_call_id": "1", "content": [{"type": "text", "text": "2"}]}


def test_messages_are_normalised() -> None:
    """Parts become text, argument strings objects, None nothing, and an unknown developer role the system's."""
    shaped = shaping.messages_for(
        [{"role": "developer", "content": ["a", {"type": "text", "text": "b"}]}, CALLED, RESULT], ""
    )
    assert shaped[0] == {"role": "system", "content": "ab"}
    assert shaped[1]["content"] == ""
    assert shaped[1]["tool_calls"][0]["function"]["arguments"] == {"a": 1}
    assert shaped[2]["content"] == "2"
    assert shaping.messages_for([{"role": "developer", "content": ""}], "developer")[0]["role"] == "developer"


def test_badly_written_arguments_are_shown_as_they_were() -> None:
    """What a model wrote that is no JSON stays text."""
    bad = {"role": "assistant", "tool_calls": [{"function": {"name": "f", "arguments": "{oops"}}]}
    assert shaping.messages_for([bad], "")[0]["tool_calls"][0]["function"]["arguments"] == "{oops"


def _prompt(template: str, **fields: Any) -> str:
    words = tokenizer()
    words.chat_template = template
    made = core(tokenizer=words)
    request = made.prepare(ChatCall(sampling=Sampling(max_tokens=1), **fields))
    made.close()
    return words.decode(request.tokens)


def test_tools_reach_the_template() -> None:
    """Tools in either usual shape are given to the template in OpenAI's; with tool_choice none they are left out."""
    tools = [{"name": "add", "parameters": {"type": "object"}}]
    messages = [{"role": "user", "content": "hi"}]
    assert '"function": {"name": "add"' in _prompt(TEMPLATE, messages=messages, tools=tools)
    assert "add" not in _prompt(TEMPLATE, messages=messages, tools=tools, tool_choice="none")


def test_a_template_without_tools_gets_them_in_the_system_message() -> None:
    """Tools are not silently lost: they, earlier calls and results are said in plain text."""
    template = "{% for m in messages %}{{ m.role }}: {{ m.content }}\n{% endfor %}"
    tools = [{"type": "function", "function": {"name": "add", "parameters": {"type": "object"}}}]
    said = _prompt(template, messages=[{"role": "user", "content": "hi"}, CALLED, RESULT], tools=tools)
    assert said.startswith("system: You can call functions")
    assert json.dumps(tools[0]["function"]) in said
    assert '<tool_call>{"name": "add", "arguments": {"a": 1}}</tool_call>' in said
    assert "user: <tool_response>2</tool_response>" in said


def test_default_sampling_is_the_models() -> None:
    """Without a temperature a model is greedy, unless its makers say that it samples."""
    from tests.kernel.torch.support import completion, model

    made = core()
    assert made.prepare(completion("x")).sampling.temperature == 0
    sampled = model()
    sampled.generation_config.do_sample, sampled.generation_config.temperature = True, 0.6
    other = core(model=sampled)
    assert other.prepare(completion("x")).sampling.temperature == 0.6
    assert other.prepare(completion("x", temperature=0)).sampling.temperature == 0
