"""Served calls: the kernel's core answers in LangChain's own types, and the network hears nothing."""

from __future__ import annotations

import json

import pytest
from langchain.agents import create_agent
from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.language_models import FakeListLLM
from langchain_core.language_models.fake_chat_models import FakeListChatModel
from langchain_core.messages import AIMessage, AIMessageChunk

from aios_kernel.abi import EmbeddingCall, Reply, ToolRequest, Usage
from aios_kernel.cores.scripted import ScriptedCore
from aios_kernel.errors import CoreError
from tests.adapters.langchain.programs import ASYNC, SYNC, Letters, Weight, Words, ask, measure, model, weigh
from tests.support.columns import SERVE, STREAM

USED = Usage(input_tokens=5, output_tokens=3, cached_tokens=2)
KINDS = ["openai", "other"]
CHOSEN = ["stream", "structured", "structured by tool", "agent v3", "react"]
ACHOSEN = ["events", "structured", "agent v3", "workflow"]

pytestmark = pytest.mark.shows(SERVE)


def answer(call):
    """Vectors, the first tool in answer to a user, the structured answer, or three words."""
    if isinstance(call, EmbeddingCall):
        return Reply(vectors=tuple((2.0, float(len(text))) for text in call.inputs))
    tools = [tool["function"]["name"] for tool in getattr(call, "tools", ())]
    if tools and call.messages[-1]["role"] == "user":
        arguments = {"what": "pear", "grams": 5} if tools[0] == "Weight" else {"what": "pear"}
        return Reply(tool_calls=(ToolRequest(id="call_1", name=tools[0], arguments=json.dumps(arguments)),))
    if getattr(call, "response_format", None):
        return Reply(text='{"what": "pear", "grams": 5}')
    return Reply(text="hello big world", usage=USED)


class Bindable(FakeListChatModel):
    """A model without the SDK that takes tools, as those of other providers do."""

    def bind_tools(self, tools, **kwargs):
        return self.bind(tools=tools, **kwargs)


def make(kind, endpoint):
    return model(endpoint.base_url) if kind == "openai" else Bindable(responses=["native"])


@pytest.mark.shows(STREAM)
@pytest.mark.parametrize("kind", KINDS)
async def test_messages(kind, endpoint, enabled):
    """Whole and streamed messages have the native type, the text, the usage and the finish reason."""
    enabled(llm=ScriptedCore(answer))
    llm = make(kind, endpoint)
    for message in (llm.invoke("x"), await llm.ainvoke("x"), llm.batch(["x"])[0]):
        assert (type(message), message.content) == (AIMessage, "hello big world")
        assert message.usage_metadata["output_tokens"] == 3
        assert message.usage_metadata["input_token_details"]["cache_read"] == 2
        assert message.response_metadata["finish_reason"] == "stop"
    for pieces in (list(llm.stream("x")), [piece async for piece in llm.astream("x")]):
        assert {type(piece) for piece in pieces} == {AIMessageChunk}
        whole = sum(pieces[1:], pieces[0])
        assert (whole.content, whole.response_metadata["finish_reason"]) == ("hello big world", "stop")
        assert [piece.content for piece in pieces if piece.content] == ["hello ", "big ", "world"]
    assert endpoint.requests == []


@pytest.mark.parametrize("kind", KINDS)
async def test_agents(kind, endpoint, enabled):
    """An agent runs its tools as the served reply asks, sync, async and streamed."""
    kernel = enabled(llm=ScriptedCore(answer))
    agent = create_agent(make(kind, endpoint), [weigh, measure])
    runs = [agent.invoke(ask("x"))["messages"], (await agent.ainvoke(ask("x")))["messages"]]
    runs.append(list(agent.stream(ask("x"), stream_mode="values"))[-1]["messages"])
    for messages in runs:
        assert [message.type for message in messages] == ["human", "ai", "tool", "ai"]
        assert messages[1].tool_calls == [
            {"name": "weigh", "args": {"what": "pear"}, "id": "call_1", "type": "tool_call"}
        ]
        assert messages[2].content == "pear weighs 450 g"
    streamed = [part async for part, _ in agent.astream(ask("x"), stream_mode="messages")]
    assert "".join(part.content for part in streamed if part.type == "AIMessageChunk") == "hello big world"
    assert kernel.status().syscalls == {"llm": 8, "tool": 4}
    assert endpoint.requests == []


@pytest.mark.filterwarnings("ignore:Pydantic serializer warnings")
@pytest.mark.parametrize("name", [name for name in CHOSEN if name in SYNC])
def test_programs(name, endpoint, enabled):
    """Programs of the lease tests need no network either."""
    enabled(llm=ScriptedCore(answer))
    result = SYNC[name][0](endpoint.base_url)
    assert not name.startswith("structured") or result == Weight(what="pear", grams=5)
    assert endpoint.requests == []


@pytest.mark.filterwarnings("ignore:Pydantic serializer warnings")
@pytest.mark.parametrize("name", [name for name in ACHOSEN if name in ASYNC])
async def test_async_programs(name, endpoint, enabled):
    """The same in an event loop."""
    enabled(llm=ScriptedCore(answer))
    await ASYNC[name][0](endpoint.base_url)
    assert endpoint.requests == []


class Tokens(BaseCallbackHandler):
    """The pieces that callbacks hear."""

    def __init__(self):
        self.heard = []

    def on_llm_new_token(self, token, **kwargs):
        self.heard.append(token)


async def test_text_models(enabled):
    """Text in, text out, one by one, in a batch and as a stream that callbacks hear once."""
    enabled(llm=ScriptedCore(answer))
    llm, tokens = FakeListLLM(responses=["native"]), Tokens()
    assert [llm.invoke("x"), await llm.ainvoke("x"), *llm.batch(["x", "y"])] == ["hello big world"] * 4
    streaming = Words()
    assert "".join(streaming.stream("x", {"callbacks": [tokens]})) == "hello big world"
    assert "".join([part async for part in streaming.astream("x", {"callbacks": [tokens]})]) == "hello big world"
    assert "".join(tokens.heard) == "hello big world" * 2


async def test_embeddings(enabled):
    """Vectors come as lists of floats."""
    enabled(llm=ScriptedCore(answer))
    embeddings = Letters()
    assert embeddings.embed_documents(["a", "bb"]) == await embeddings.aembed_documents(["a", "bb"])
    assert embeddings.embed_documents(["a", "bb"]) == [[2.0, 1.0], [2.0, 2.0]]
    assert embeddings.embed_query("ccc") == await embeddings.aembed_query("ccc") == [2.0, 3.0]


def test_what_the_kernel_is_told(enabled):
    """Messages, tools, choice and sampling reach the core in the shape of chat completions."""
    calls = []
    enabled(llm=ScriptedCore(lambda call: calls.append(call) or "done"))
    llm = Bindable(responses=["native"]).bind_tools([weigh], tool_choice="any", temperature=0.5, special=1)
    llm.invoke([("system", "Be brief."), ("user", "hi")], stop=["x"])
    (call,) = calls
    assert call.messages == ({"role": "system", "content": "Be brief."}, {"role": "user", "content": "hi"})
    assert call.tools[0]["function"]["name"] == "weigh"
    assert (call.tool_choice, call.sampling.temperature, call.sampling.stop) == ("required", 0.5, ("x",))
    assert call.extra == {"special": 1}


def test_arguments_that_are_not_json(enabled):
    """A tool call that cannot be read is an invalid one, as natively."""
    bad = Reply(tool_calls=(ToolRequest(id="c", name="weigh", arguments="{not"),))
    enabled(llm=ScriptedCore([bad]))
    message = FakeListChatModel(responses=["native"]).invoke("x")
    assert message.tool_calls == []
    assert message.invalid_tool_calls[0]["name"] == "weigh"


def test_a_core_that_fails(enabled):
    """An error of the core is raised in the program, for a model whose provider has no form for it."""
    enabled(llm=ScriptedCore([]))
    with pytest.raises(CoreError, match="used up"):
        FakeListChatModel(responses=["native"]).invoke("x")
