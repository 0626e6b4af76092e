"""Served calls, and model clients that are not backed by the openai SDK."""

from __future__ import annotations

import pytest
from ag2 import Agent
from ag2.config import LLMClient, ModelConfig
from ag2.events import ModelMessage, ModelMessageChunk, ModelResponse, ToolCallEvent, Usage
from ag2.stream import MemoryStream
from ag2.testing import TestConfig, TrackingConfig

from aios_kernel.abi import Reply, ToolRequest
from aios_kernel.cores.scripted import ScriptedCore
from tests.adapters.ag2.programs import PROGRAMS, Weight, agent, weigh
from tests.support.columns import ASYNC, LEASE, ONCE, SERVE, STREAM, TOOLS

ASK = ToolRequest(id="call_1", name="weigh", arguments='{"what": "pear"}')


def answer(call):
    """Call the first tool in answer to a user, else answer in words."""
    wanted = call.tools and call.messages[-1]["role"] == "user"
    return Reply(tool_calls=(ASK,)) if wanted else "hello big world"


class EchoClient(LLMClient):
    """A client of the program's own."""

    def __init__(self, streaming=False):
        self._streaming = streaming
        self.calls = 0

    async def __call__(self, messages, context, *, tools, response_schema, serializer):
        self.calls += 1
        message = ModelMessage(messages[-1].parts[0].content.upper())
        await context.send(message)
        return ModelResponse(message, usage=Usage(prompt_tokens=3, completion_tokens=2))


class Echo(ModelConfig):
    """What makes one."""

    def __init__(self, **how):
        self.client = EchoClient(**how)

    def copy(self):
        return self

    def create(self):
        return self.client

    def create_files_client(self):
        raise NotImplementedError

    @property
    def provider(self):
        raise NotImplementedError

    @property
    def model(self):
        return "echo"


@pytest.mark.shows(LEASE, ONCE, ASYNC)
async def test_leased_client(enabled):
    """A client without the SDK makes one syscall per call, gives its own results and tells what it used."""
    native = (await Agent("alice", config=Echo()).ask("hello")).response
    kernel = enabled()
    reply = await Agent("alice", config=Echo()).ask("hello")
    assert reply.response == native
    assert (await reply.ask("again")).body == "AGAIN"
    assert kernel.status().syscalls["llm"] == 2
    (row,) = [row for row in kernel.status().agents if "llm" in row["syscalls"]]
    assert (row["name"], row["input_tokens"], row["output_tokens"]) == ("alice", 6, 4)


@pytest.mark.shows(ONCE)
async def test_a_client_around_another_is_passed(enabled):
    """A client that only hands on to another is no call of its own."""
    kernel = enabled()
    llm = TrackingConfig(TestConfig(ToolCallEvent("weigh", arguments='{"what": "pear"}'), "done"))
    assert (await agent(llm).ask("go")).body == "done"
    assert (kernel.status().syscalls["llm"], kernel.status().syscalls["tool"]) == (2, 1)


@pytest.mark.parametrize("name", ["ask", "responses", "conversation", "nested", "together"])
@pytest.mark.shows(SERVE, ASYNC)
async def test_served(name, endpoint, enabled):
    """The kernel's core answers AG2's own client, whole programs run, and the network hears nothing."""
    enabled(llm=ScriptedCore(lambda call: "hello big world"))
    assert "hello big world" in str(await PROGRAMS[name][0](endpoint.base_url))
    assert endpoint.requests == []


@pytest.mark.shows(SERVE, STREAM)
async def test_served_stream(endpoint, enabled):
    """A served stream arrives piece by piece as AG2's own chunks, with the tool run between its two calls."""
    enabled(llm=ScriptedCore(answer))
    body, pieces = await PROGRAMS["streaming"][0](endpoint.base_url)
    assert body == "".join(pieces) == "hello big world"
    assert len(pieces) == 3
    assert endpoint.requests == []


@pytest.mark.parametrize("streaming", [False, True])
@pytest.mark.shows(SERVE, STREAM, TOOLS)
async def test_served_client_without_the_sdk(streaming, enabled):
    """The core answers for other clients in AG2's events, in pieces where the client would stream."""
    enabled(llm=ScriptedCore(answer))
    llm, stream, seen = Echo(streaming=streaming), MemoryStream(), []

    @stream.where(ModelMessageChunk | ModelMessage).subscribe
    async def listen(event) -> None:
        seen.append(type(event).__name__)

    reply = await agent(llm, tools=[weigh]).ask("weigh", stream=stream)
    assert (type(reply.response), reply.body) == (ModelResponse, "hello big world")
    assert reply.response.usage.completion_tokens == 3
    assert seen == ["ModelMessageChunk"] * (3 * streaming) + ["ModelMessage"]
    assert llm.client.calls == 0


@pytest.mark.shows(SERVE)
async def test_what_the_kernel_is_told(enabled):
    """Prompt, history, tools and format reach the core in the shape of chat completions."""
    calls = []
    enabled(llm=ScriptedCore(lambda call: calls.append(call) or answer(call)))
    await agent(Echo(), tools=[weigh]).ask("weigh")
    await agent(Echo(), tools=[]).ask("one pear", response_schema=Weight)
    asked, told, typed = calls
    assert asked.messages == ({"role": "system", "content": "Help."}, {"role": "user", "content": "weigh"})
    assert asked.tools[0]["function"]["name"] == "weigh"
    assert asked.tools[0]["function"]["parameters"]["properties"]["what"]["type"] == "string"
    assert [message["role"] for message in told.messages] == ["system", "user", "assistant", "tool"]
    assert told.messages[2]["tool_calls"][0]["function"] == {"name": "weigh", "arguments": '{"what": "pear"}'}
    assert told.messages[3] == {"role": "tool", "tool_call_id": "call_1", "content": "pear weighs 450 g"}
    assert set(typed.response_format["json_schema"]["schema"]["properties"]) == {"what", "grams"}


async def test_errors_are_the_clients_own(enabled):
    """What a client raises, it raises with the kernel too, and the slot is given back."""
    kernel = enabled(limits={"llm:*": {"in_flight": 1}})
    for _ in range(3):
        with pytest.raises(ZeroDivisionError, match="no answer"):
            await Agent("alice", config=TestConfig(ZeroDivisionError("no answer"))).ask("hello")
    assert not any(queue["running"] for queue in kernel.status().resources)
    assert sum(row["failed"] for row in kernel.status().agents) == 3
