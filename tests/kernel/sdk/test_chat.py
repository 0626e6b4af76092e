"""The model by the SDK: texts, JSON, tool calls, and tools that are run until it answers."""

from __future__ import annotations

import json

import pytest

from aios_kernel import ConfigError, CoreError, Reply, Sampling, ToolRequest, Usage, sdk
from aios_kernel.errors import AgentKilled, ToolUnknown
from aios_kernel.sdk import aio
from tests.kernel.sdk.conftest import Rig

USAGE = Usage(input_tokens=10, output_tokens=5)


def wants(name: str, text: str = "", **arguments: object) -> Reply:
    request = ToolRequest(id=f"call-{name}", name=name, arguments=json.dumps(arguments))
    return Reply(text=text, tool_calls=(request,), finish_reason="tool_calls", usage=USAGE)


def test_chat(rig: Rig):
    """What is asked for reaches the model, and its reply the agent."""
    rig.say("hello", "again")
    ann = sdk.Client(rig.gate, "ann")
    assert ann.llm_chat("hi", model="m", sampling=Sampling(temperature=0.5, max_tokens=9)).text == "hello"
    assert list(rig.asked[0].messages) == [{"role": "user", "content": "hi"}]
    assert (rig.asked[0].model, rig.asked[0].sampling.temperature, rig.asked[0].sampling.max_tokens) == ("m", 0.5, 9)
    assert ann.llm_chat([{"role": "system", "content": "be brief"}]).text == "again"


def test_json(rig: Rig):
    """The value is given, or an error that says what is wrong with the reply."""
    schema = {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]}
    rig.say('{"n": 3}', '{"n": "three"}', Reply(text='{"n": ', finish_reason="length", usage=USAGE), "[1]")
    ann = sdk.Client(rig.gate, "ann")
    assert ann.llm_chat_with_json_output("count", schema) == {"n": 3}
    given = rig.asked[0].response_format
    assert given is not None
    assert given["json_schema"]["schema"] == schema
    with pytest.raises(CoreError, match="does not fit the schema"):
        ann.llm_chat_with_json_output("count", schema)
    with pytest.raises(CoreError, match="cut off at max_tokens"):
        ann.llm_chat_with_json_output("count", schema)
    assert ann.llm_chat_with_json_output("list") == [1]
    assert rig.asked[3].response_format == {"type": "json_object"}


def test_tool_calls(rig: Rig):
    """The calls are given, not run, with the text that came with them and names that `call_tool` takes."""
    own = {"type": "function", "function": {"name": "own", "parameters": {"type": "object"}}}
    rig.say(wants("calculator", "Let me see.", expression="2+2"), wants("own"))
    ann = sdk.Client(rig.gate, "ann")
    reply = ann.llm_chat_with_tool_call_output("2+2?", ["aios/calculator", own], tool_choice="required")
    assert [tool["function"]["name"] for tool in rig.asked[0].tools] == ["own", "calculator"]
    assert (rig.asked[0].tool_choice, reply.text, reply.tool_calls[0].name) == (
        "required",
        "Let me see.",
        "aios/calculator",
    )
    assert ann.call_tool(reply.tool_calls[0]) == "4"
    assert ann.llm_chat_with_tool_call_output("x", [own]).tool_calls[0].name == "own"
    namesake = {"type": "function", "function": {"name": "calculator", "parameters": {"type": "object"}}}
    with pytest.raises(ConfigError, match="'calculator'"):
        ann.llm_chat_with_tool_call_output("x", ["aios/calculator", namesake])
    with pytest.raises(ToolUnknown, match="nobody/knows"):
        ann.llm_chat_with_tool_call_output("x", ["nobody/knows"])


def test_tools_until_the_answer(rig: Rig):
    """Tools are run as the agent; what they raise, and what is not offered, the model reads and can act on."""
    rig.say(
        wants("calculator", "First this.", expression="6*7"),
        wants("calculator", formula="1"),
        wants("write_file", path="x", content="y"),
        Reply(text="It is 42.", usage=USAGE),
    )
    answer = sdk.llm_call_tool(rig.gate, "ann", "What is 6 times 7?", ["aios/calculator"])
    assert answer.text == "It is 42."
    assert [use.name for use in answer.uses] == ["aios/calculator", "aios/calculator", "write_file"]
    assert answer.uses[0].result == "42"
    assert all(use.error is not None for use in answer.uses[1:])
    assert answer.usage == Usage(input_tokens=40, output_tokens=20)
    said = [dict(message) for message in rig.asked[3].messages]
    assert [message["role"] for message in said] == ["user", *["assistant", "tool"] * 3]
    assert said[1]["content"] == "First this."
    assert said[2] == {"role": "tool", "tool_call_id": "call-calculator", "content": "42"}
    assert "'expression' is missing" in said[4]["content"]
    assert "no tool named 'write_file'" in said[6]["content"]
    assert [dict(message) for message in answer.messages][:7] == said
    assert sdk.retrieve_file(rig.gate, "ann", "y") == []


def test_turns_run_out(rig: Rig):
    """A model that never answers is left after its turns, with all it did."""
    rig.say(*[wants("calculator", expression=str(n)) for n in range(2)])
    answer = sdk.llm_call_tool(rig.gate, "ann", "go on", ["aios/calculator"], max_turns=2)
    assert answer.text is None
    assert [use.result for use in answer.uses] == ["0", "1"]
    with pytest.raises(ValueError, match="max_turns is 0"):
        sdk.llm_call_tool(rig.gate, "ann", "go on", ["aios/calculator"], max_turns=0)


async def test_files_by_the_model(rig: Rig):
    """The model works on the agent's own files, in an event loop too."""
    rig.say(wants("write_file", path="todo.txt", content="milk"), wants("read_file", path="todo.txt"), "Milk it is.")
    answer = await aio.Client(rig.gate, "ann").llm_operate_file("Note milk, and read it back.")
    assert (answer.text, answer.uses[1].result) == ("Milk it is.", "milk")
    assert sdk.read_file(rig.gate, "ann", "todo.txt")["content"] == "milk"
    assert {tool["function"]["name"] for tool in rig.asked[0].tools} == {
        "read_file",
        "write_file",
        "list_files",
        "delete_file",
    }


def test_a_killed_agent_ends(rig: Rig):
    """What the model cannot act on is raised, not told to it."""

    def kill(name: str) -> None:
        raise AgentKilled(name)

    bare = rig.kernel(
        llm=_one(wants("calculator", expression="1")),
        managers=_tools(),
        checks=(lambda call, process: kill(process.name) if call.label == "aios/calculator" else None,),
    )
    with pytest.raises(AgentKilled):
        sdk.llm_call_tool(bare, "ann", "go", ["aios/calculator"])


def _one(reply: Reply):
    from aios_kernel.cores.scripted import ScriptedCore

    return ScriptedCore([reply])


def _tools():
    from aios_kernel.toolkit import ToolManager

    return [ToolManager()]
