"""Served calls: the kernel's core answers in LlamaIndex's own types, and the network hears nothing."""

from __future__ import annotations

import json

import pytest
from llama_index.core.agent.workflow import FunctionAgent
from llama_index.core.base.llms.types import ChatResponse, CompletionResponse
from llama_index.core.callbacks import CallbackManager, TokenCountingHandler

from aios_kernel.abi import CompletionCall, EmbeddingCall, Reply, ToolRequest, Usage
from aios_kernel.cores.scripted import ScriptedCore
from aios_kernel.errors import CoreError
from tests.adapters.llama_index.models import Functions, Letters
from tests.adapters.llama_index.programs import ASYNC, SYNC, Weight, measure, message, model, weigh
from tests.adapters.llama_index.test_models import heard
from tests.support.columns import ASYNC as ASYNCHRONOUS
from tests.support.columns import SERVE, STREAM, TOOLS

USED = Usage(input_tokens=5, output_tokens=3)
KINDS = ["openai", "other"]


def answer(call):
    """Vectors, the first tool in answer to a user, or three words."""
    if isinstance(call, EmbeddingCall):
        return Reply(vectors=tuple((2.0, float(len(text))) for text in call.inputs))
    if isinstance(call, CompletionCall):
        return Reply(text="hello big world", usage=USED)
    system = str(call.messages[0]["content"])
    if "<execute>" in system or "Action Input" in system:
        return Reply(text="Thought: I can answer without using any more tools.\nAnswer: yes")
    tools = [tool["function"]["name"] for tool in call.tools]
    if tools and call.messages[-1]["role"] == "user":
        arguments = {"what": "pear", "grams": 5} if tools[0] == "Weight" else {"what": "pear"}
        return Reply(tool_calls=(ToolRequest(id="call_1", name=tools[0], arguments=json.dumps(arguments)),))
    if call.response_format:
        return Reply(text='{"what": "pear", "grams": 5}')
    return Reply(text="hello big world", usage=USED)


def make(kind, endpoint, **kwargs):
    return model(endpoint.base_url, **kwargs) if kind == "openai" else Functions(**kwargs)


@pytest.mark.shows(SERVE, STREAM, ASYNCHRONOUS)
@pytest.mark.parametrize("kind", KINDS)
async def test_messages(kind, endpoint, enabled):
    """Whole and streamed replies have the native type and the text, token by token."""
    enabled(llm=ScriptedCore(answer))
    llm = make(kind, endpoint)
    for reply in (llm.chat(message("x")), await llm.achat(message("x"))):
        assert (type(reply), reply.message.content, reply.message.role) == (
            ChatResponse,
            "hello big world",
            "assistant",
        )
        assert reply.additional_kwargs["completion_tokens"] == 3
    for reply in (llm.complete("x"), await llm.acomplete("x")):
        assert (type(reply), reply.text) == (CompletionResponse, "hello big world")
    for pieces in (list(llm.stream_chat(message("x"))), [p async for p in await llm.astream_chat(message("x"))]):
        assert {type(piece) for piece in pieces} == {ChatResponse}
        assert [piece.delta for piece in pieces if piece.delta] == ["hello ", "big ", "world"]
        texts = [piece.message.content for piece in pieces if piece.delta]
        assert texts == ["hello ", "hello big ", "hello big world"]
    for pieces in (list(llm.stream_complete("x")), [p async for p in await llm.astream_complete("x")]):
        assert {type(piece) for piece in pieces} == {CompletionResponse}
        assert [piece.delta for piece in pieces if piece.delta] == ["hello ", "big ", "world"]
        assert pieces[-1].text == "hello big world"
    assert endpoint.requests == []


@pytest.mark.shows(SERVE, TOOLS, ASYNCHRONOUS)
@pytest.mark.parametrize("streaming", [True, False])
@pytest.mark.parametrize("kind", KINDS)
async def test_agents(kind, streaming, endpoint, enabled):
    """An agent runs its tools as the served reply asks."""
    kernel = enabled(llm=ScriptedCore(answer))
    agent = FunctionAgent(name="bob", tools=[weigh, measure], llm=make(kind, endpoint), streaming=streaming)
    result = await agent.run("x")
    assert str(result) == "hello big world"
    (used,) = result.tool_calls
    assert (used.tool_name, used.tool_kwargs, used.tool_output.content) == (
        "weigh",
        {"what": "pear"},
        "pear weighs 450 g",
    )
    calls = kernel.status().syscalls
    assert (calls["llm"], calls["tool"]) == (2, 1)
    assert endpoint.requests == []


@pytest.mark.shows(SERVE)
@pytest.mark.parametrize("name", ["structured", "as structured", "predict and call", "responses", "chat engine"])
def test_programs(name, endpoint, enabled):
    """Programs of the lease tests need no network either."""
    enabled(llm=ScriptedCore(answer))
    result = SYNC[name][0](endpoint.base_url)
    assert name != "structured" or result == Weight(what="pear", grams=5)
    assert endpoint.requests == []


@pytest.mark.shows(SERVE, ASYNCHRONOUS)
@pytest.mark.parametrize("name", ["react", "parallel tools"])
async def test_async_programs(name, endpoint, enabled):
    """The same in an event loop."""
    enabled(llm=ScriptedCore(answer))
    await ASYNC[name][0](endpoint.base_url)
    assert endpoint.requests == []


@pytest.mark.shows(SERVE)
@pytest.mark.parametrize("make_model", [Functions])
async def test_callbacks_hear_of_served_calls(make_model, enabled):
    """Callbacks and events are told of a served call what they are told of a native one, piece by piece."""
    native, _ = await heard(make_model)
    _, native_callbacks = await heard(make_model)
    enabled(llm=ScriptedCore(answer))
    names, callbacks = await heard(make_model)
    kinds = lambda events: {name: events.count(name) for name in set(events) if "InProgress" not in name}  # noqa: E731
    assert kinds(names) == kinds(native)
    assert {name for name in names if "InProgress" in name} == {name for name in native if "InProgress" in name}
    assert callbacks == native_callbacks


@pytest.mark.shows(SERVE)
def test_tokens_are_counted_as_they_were(enabled):
    """LlamaIndex's own counter reads the usage of a served reply."""
    enabled(llm=ScriptedCore(answer))
    counter = TokenCountingHandler(tokenizer=str.split)
    Functions(callback_manager=CallbackManager([counter])).chat(message("x"))
    assert (counter.prompt_llm_token_count, counter.completion_llm_token_count) == (5, 3)


@pytest.mark.shows(SERVE, ASYNCHRONOUS)
async def test_embeddings(enabled):
    """Vectors come as lists of floats."""
    enabled(llm=ScriptedCore(answer))
    model = Letters()
    assert model.get_text_embedding_batch(["a", "bb"]) == [[2.0, 1.0], [2.0, 2.0]]
    assert await model.aget_query_embedding("ccc") == [2.0, 3.0]


@pytest.mark.shows(SERVE)
async def test_what_the_kernel_is_told(enabled):
    """Messages, tools and sampling reach the core in the shape of chat completions."""
    calls = []
    enabled(llm=ScriptedCore(lambda call: calls.append(call) or answer(call)))
    await FunctionAgent(name="bob", tools=[weigh], llm=Functions(), system_prompt="Be brief.").run("hi")
    first, second = calls
    assert first.messages == ({"role": "system", "content": "Be brief."}, {"role": "user", "content": "hi"})
    assert first.tools[0]["function"]["name"] == "weigh"
    assert "what" in first.tools[0]["function"]["parameters"]["properties"]
    assert (first.model, first.stream) == ("functions", True)
    asked, told = second.messages[-2:]
    assert asked["tool_calls"][0]["function"] == {"name": "weigh", "arguments": '{"what": "pear"}'}
    assert (told["role"], told["tool_call_id"], told["content"]) == ("tool", "call_1", "pear weighs 450 g")
    Functions().chat(message("x"), temperature=0.5, max_tokens=7, special=1, stop=["."])
    assert (calls[-1].sampling.temperature, calls[-1].sampling.max_tokens, calls[-1].sampling.stop) == (0.5, 7, (".",))
    assert calls[-1].extra == {"special": 1}


@pytest.mark.shows(SERVE)
async def test_a_core_that_fails(enabled):
    """An error of the core is raised in the program, for a model whose provider has no form for it."""
    enabled(llm=ScriptedCore([]))
    with pytest.raises(CoreError, match="used up"):
        Functions().chat(message("x"))
    with pytest.raises(CoreError, match="used up"):
        [item async for item in await Functions().astream_chat(message("x"))]
