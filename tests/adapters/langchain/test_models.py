"""Models that are not backed by the openai SDK: gated at their leaf methods, everything above them native."""

from __future__ import annotations

import asyncio
import copy
import pickle
from concurrent.futures import ThreadPoolExecutor

import pytest
from langchain_core.caches import InMemoryCache
from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.language_models import LLM, FakeListLLM
from langchain_core.language_models.fake_chat_models import (
    FakeListChatModel,
    FakeListChatModelError,
    FakeMessagesListChatModel,
    GenericFakeChatModel,
)
from langchain_core.language_models.llms import BaseLLM
from langchain_core.messages import AIMessage
from langchain_core.outputs import Generation, LLMResult

from tests.adapters.langchain.programs import Letters, Words, seen

USED = {"input_tokens": 3, "output_tokens": 4, "total_tokens": 7}


class Heard(BaseCallbackHandler):
    """What the callbacks were told."""

    def __init__(self):
        self.events = []

    def on_chat_model_start(self, *args, **kwargs):
        self.events.append("start")

    def on_llm_new_token(self, token, **kwargs):
        self.events.append(token)

    def on_llm_end(self, response, **kwargs):
        self.events.append("end")

    def on_llm_error(self, error, **kwargs):
        self.events.append(type(error))


async def every_way(model):
    """Call a model in the six ways there are, and batch it."""
    return [
        model.invoke("a"),
        list(model.stream("b")),
        model.batch(["c", "d"]),
        await model.ainvoke("e"),
        [item async for item in model.astream("f")],
        await model.abatch(["g", "h"]),
        [event["event"] async for event in model.astream_events("i", version="v2")],
    ]


MODELS = {
    "sync chat": lambda: FakeMessagesListChatModel(responses=[AIMessage("hello big world", usage_metadata=USED)]),
    "sync streaming chat": lambda: GenericFakeChatModel(messages=iter(["hello big world"] * 99)),
    "async streaming chat": lambda: FakeListChatModel(responses=["hello big world"]),
    "llm": lambda: FakeListLLM(responses=["hello big world"]),
    "streaming llm": Words,
}


@pytest.mark.parametrize("name", MODELS)
async def test_every_way(name, enabled):
    """Each of nine calls gives what it gives without the kernel, and is one syscall."""
    native = seen(await every_way(MODELS[name]()))
    kernel = enabled(limits={"llm:*": {"in_flight": 2}})
    assert seen(await every_way(MODELS[name]())) == native

    assert kernel.status().syscalls == {"llm": 9}
    assert not any(queue["running"] for queue in kernel.status().resources)


def test_usage_is_told(enabled):
    """What a model's messages say they used is the agent's account."""
    kernel = enabled()
    MODELS["sync chat"]().invoke("a")
    row = kernel.status().agents[0]
    assert (row["input_tokens"], row["output_tokens"]) == (3, 4)


def test_cache_is_native(enabled):
    """An answer out of LangChain's cache is no call."""
    kernel = enabled()
    model = FakeListChatModel(responses=["a", "b"], cache=InMemoryCache())
    assert [model.invoke("x").content for _ in range(3)] == ["a", "a", "a"]
    assert kernel.status().syscalls == {"llm": 1}


def test_callbacks_are_native(enabled):
    """Callbacks hear the same, streamed or not, also of an error."""

    def run():
        heard = Heard()
        config = {"callbacks": [heard]}
        list(FakeListChatModel(responses=["ab"]).stream("x", config))
        FakeListChatModel(responses=["ab"]).invoke("x", config)
        with pytest.raises(FakeListChatModelError):
            list(FakeListChatModel(responses=["abc"], error_on_chunk_number=1).stream("x", config))
        return heard.events

    native = run()
    enabled()
    assert run() == native


async def test_streams_share_the_loops_few_threads(enabled):
    """Streams of a model without an asynchronous one wait for their turn in the loop, and none holds up another."""
    kernel = enabled(limits={"llm:*": {"in_flight": 1}})
    asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(2))
    model = MODELS["sync streaming chat"]()

    async def read():
        return "".join([chunk.content async for chunk in model.astream("x")])

    assert set(await asyncio.gather(*(read() for _ in range(12)))) == {"hello big world"}
    assert kernel.status().syscalls == {"llm": 12}


def test_a_subclass_defined_late(enabled):
    """A class made after enable() is gated; its methods call their base's within the same syscall."""
    kernel = enabled()

    class Late(FakeListChatModel):
        def _generate(self, messages, stop=None, **kwargs):
            return super()._generate(messages, stop=stop, **kwargs)

    class Echo(LLM):
        def _call(self, prompt, stop=None, run_manager=None, **kwargs):
            return prompt

        @property
        def _llm_type(self):
            return "echo"

    assert Late(responses=["a"]).invoke("x").content == "a"
    assert Echo().batch(["a", "b"]) == ["a", "b"]
    assert kernel.status().syscalls == {"llm": 3}


class Batched(BaseLLM):
    """A model that answers several prompts in one request."""

    def _generate(self, prompts, stop=None, run_manager=None, **kwargs):
        return LLMResult(generations=[[Generation(text=f"{len(prompts)}")] for _ in prompts])

    @property
    def _llm_type(self):
        return "batched"


def test_prompts_in_one_request_stay_together(enabled):
    """A model that takes a batch of prompts gets the batch, as one leased call."""
    kernel = enabled()
    assert Batched().batch(["a", "b"]) == ["2", "2"]
    assert Batched().invoke("a") == "1"
    assert kernel.status().syscalls == {"llm": 2}


async def test_embeddings(enabled):
    """Embeddings are syscalls of their own kind, with the same vectors."""
    model = Letters()
    native = [model.embed_query("a"), model.embed_documents(["a", "b"])]
    kernel = enabled()
    assert [model.embed_query("a"), model.embed_documents(["a", "b"])] == native
    assert [await model.aembed_query("a"), await model.aembed_documents(["a", "b"])] == native
    assert kernel.status().syscalls == {"embedding": 4}


def test_references_copies_and_pickles(enabled):
    """What was taken before enable() is gated; models copy and pickle as before."""
    model = FakeListChatModel(responses=["a"])
    invoke, chain = model.invoke, model | (lambda message: message.content)
    kernel = enabled()
    assert (invoke("x").content, chain.invoke("x")) == ("a", "a")
    assert pickle.loads(pickle.dumps(model)) == copy.deepcopy(model) == model
    assert kernel.status().syscalls == {"llm": 2}
