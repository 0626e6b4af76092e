"""Model clients that are not backed by the openai SDK, and calls that the kernel's core answers."""

from __future__ import annotations

import asyncio
import inspect

import pytest
from autogen_agentchat.agents import AssistantAgent
from autogen_core import CancellationToken, FunctionCall
from autogen_core.models import CreateResult, UserMessage
from autogen_core.tools import FunctionTool
from autogen_ext.models.replay import ReplayChatCompletionClient

from aios_kernel.abi import ChatCall, Reply, ToolRequest
from aios_kernel.cores.scripted import ScriptedCore
from tests.adapters.autogen.programs import INFO, Weight, agent, client, create, create_stream, weigh
from tests.support.columns import ASYNC, SERVE, STREAM

USER = [UserMessage(content="hello", source="user")]
ASK = ToolRequest(id="call_1", name="weigh", arguments='{"what": "pear"}')


def answer(call: ChatCall):
    """Call the first tool in answer to a user, else answer in words."""
    wanted = call.tools and call.messages[-1]["role"] == "user"
    return Reply(tool_calls=(ASK,), text="let me see") if wanted else "hello big world"


async def test_leased_replay(enabled):
    """A client without the SDK makes one syscall per call, gives its own results and tells what it used."""
    native = ReplayChatCompletionClient(["hello big world"] * 2)
    expected = [await create(native), await create_stream(native)]
    kernel = enabled()
    ours = ReplayChatCompletionClient(["hello big world"] * 2)
    assert [await create(ours), await create_stream(ours)] == expected
    assert kernel.status().syscalls == {"llm": 2}
    assert kernel.status().agents[0]["output_tokens"] == 6
    assert ours.total_usage() == native.total_usage()


@pytest.mark.shows(SERVE, STREAM, ASYNC)
@pytest.mark.parametrize("make", ["openai", "replay"])
async def test_served(make, endpoint, enabled):
    """The kernel's core answers in AutoGen's types, for clients of both kinds, and the network hears nothing."""
    enabled(llm=ScriptedCore(answer))
    async with client(endpoint.base_url) as real:
        llm = real if make == "openai" else ReplayChatCompletionClient([], model_info=INFO)
        whole, pieces = await create(llm), await create_stream(llm)
        called = await agent(llm, reflect_on_tool_use=True)
    assert (type(whole), whole.content, whole.finish_reason) == (CreateResult, "hello big world", "stop")
    assert whole.usage.completion_tokens == 3
    assert "".join(pieces[:-1]) == pieces[-1].content == "hello big world"
    assert isinstance(pieces[-1], CreateResult)
    assert [message.type for message in called.messages][1:] == [
        "ThoughtEvent",
        "ToolCallRequestEvent",
        "ToolCallExecutionEvent",
        "TextMessage",
    ]
    assert called.messages[3].content[0].content == "pear weighs 450 g"
    assert endpoint.requests == []


@pytest.mark.shows(SERVE)
async def test_served_tool_calls(enabled):
    """A served tool call is AutoGen's own FunctionCall, whole and at the end of a stream, with the text as thought."""
    enabled(llm=ScriptedCore(answer))
    llm = ReplayChatCompletionClient([], model_info=INFO)
    tool = FunctionTool(weigh, "Weigh.")
    whole = await llm.create(USER, tools=[tool])
    streamed = [item async for item in llm.create_stream(USER, tools=[tool])][-1]
    assert whole.content == streamed.content == [FunctionCall(id="call_1", name="weigh", arguments='{"what": "pear"}')]
    assert whole.finish_reason == streamed.finish_reason == "function_calls"
    assert whole.thought == streamed.thought.strip() == "let me see"


async def test_what_the_kernel_is_told(enabled):
    """Messages, tools, choice, format and sampling reach the core in the shape of chat completions."""
    calls = []
    enabled(llm=ScriptedCore(lambda call: calls.append(call) or "done"))
    llm = ReplayChatCompletionClient([], model_info=INFO)
    tool = FunctionTool(weigh, "Weigh.")
    extra = {"temperature": 0.5, "stop": "x", "special": 1}
    await llm.create(USER, tools=[tool], tool_choice=tool, json_output=Weight, extra_create_args=extra)
    await AssistantAgent("a", llm, tools=[weigh], system_message="Be brief.").run(task="hi")
    (first, second) = calls
    assert first.messages == ({"role": "user", "content": "hello", "name": "user"},)
    assert first.tools[0]["function"]["name"] == first.tool_choice["function"]["name"] == "weigh"
    assert first.response_format["json_schema"]["name"] == "Weight"
    assert (first.sampling.temperature, first.sampling.stop, first.extra) == (0.5, ("x",), {"special": 1})
    assert second.messages[0] == {"role": "system", "content": "Be brief."}


@pytest.mark.shows(SERVE)
async def test_errors_are_the_clients_own(enabled):
    """What a client raises, it raises with the kernel too, and the slot is given back."""
    kernel = enabled(limits={"llm:*": {"in_flight": 1}})
    for _ in range(3):
        with pytest.raises(ValueError, match="No more mock responses"):
            await create(ReplayChatCompletionClient([]))
        with pytest.raises(ValueError, match="No more mock responses"):
            await create_stream(ReplayChatCompletionClient([]))
    assert not any(queue["running"] for queue in kernel.status().resources)


async def test_late_and_early(enabled):
    """A method taken before enable() is an unbound reference; an instance and a class made at any time are gated."""
    early = ReplayChatCompletionClient(["a"])
    kernel = enabled()

    class Late(ReplayChatCompletionClient):
        async def create(self, *args, **kwargs):
            return await super().create(*args, **kwargs)

    await create(early)
    await create(Late(["b"]))
    assert kernel.status().syscalls == {"llm": 2}
    assert inspect.iscoroutinefunction(Late.create)
    assert inspect.isasyncgenfunction(Late.create_stream)


@pytest.mark.parametrize("read", [create, create_stream])
async def test_cancelled_while_it_waits(read, enabled):
    """A CancellationToken ends the wait for a grant, as it ends a client's own wait."""
    kernel = enabled(limits={"llm:*": {"in_flight": 1}})
    llm, token = ReplayChatCompletionClient(["a b", "c"]), CancellationToken()
    holder = llm.create_stream(USER)

    async def begin():  # in a task of its own: what a stream's reader calls meanwhile runs inside the stream's grant
        await anext(holder)

    await asyncio.create_task(begin())
    waiting = asyncio.create_task(read(ReplayChatCompletionClient(["d"]), cancellation_token=token))
    await asyncio.wait([waiting], timeout=0.05)
    assert kernel.status().agents[0]["waiting"] == 1
    token.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    await holder.aclose()
    assert (await create(llm)).content == "a b"


async def test_left_early(enabled):
    """A stream that its reader leaves gives its slot back."""
    kernel = enabled(limits={"llm:*": {"in_flight": 1}})
    for _ in range(3):
        stream = ReplayChatCompletionClient(["a b c"]).create_stream(USER)
        assert await anext(stream) == "a "
        await stream.aclose()
    assert not any(queue["running"] for queue in kernel.status().resources)
