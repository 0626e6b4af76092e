"""Models without the openai SDK are gated at their own methods, once, and lose nothing of what is native."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from llama_index.core.callbacks import CallbackManager, LlamaDebugHandler
from llama_index.core.instrumentation import get_dispatcher
from llama_index.core.instrumentation.event_handlers import BaseEventHandler
from llama_index.core.llms import MockLLM

from tests.adapters.llama_index.models import Functions, Letters, Words
from tests.adapters.llama_index.programs import message, seen
from tests.support.columns import ASYNC, LEASE, ONCE, STREAM


async def every_way(llm):
    """Call a model in the eight ways there are."""
    return [
        llm.chat(message("a")),
        llm.complete("b"),
        list(llm.stream_chat(message("c"))),
        list(llm.stream_complete("d")),
        await llm.achat(message("e")),
        await llm.acomplete("f"),
        [item async for item in await llm.astream_chat(message("g"))],
        [item async for item in await llm.astream_complete("h")],
    ]


@pytest.mark.shows(LEASE, ONCE, STREAM, ASYNC)
@pytest.mark.parametrize("make", [Words, Functions, MockLLM])
async def test_every_way(make, enabled):
    """Each of eight calls gives what it gives without the kernel, and is one syscall, also with one at a time."""
    native = seen(await every_way(make()))
    kernel = enabled(limits={"llm:*": {"in_flight": 1}})
    assert seen(await every_way(make())) == native
    assert kernel.status().syscalls == {"llm": 8}
    assert not any(queue["running"] for queue in kernel.status().resources)


def test_usage_is_told(enabled):
    """What a response says it used is the agent's account."""
    kernel = enabled()
    Words().chat(message("a"))
    row = kernel.status().agents[0]
    assert (row["input_tokens"], row["output_tokens"]) == (3, 4)
    Words().complete("a")
    row = kernel.status().agents[0]
    assert (row["input_tokens"], row["output_tokens"]) == (6, 8)


class Heard(BaseEventHandler):
    """The names of the events of LlamaIndex's instrumentation."""

    names: Any

    def handle(self, event, **kwargs):
        self.names.append(type(event).__name__)


async def heard(make):
    """What callbacks and events tell of every way to call a model, in order."""
    events, root = Heard(names=[]), get_dispatcher()
    debug = LlamaDebugHandler(print_trace_on_end=False)
    root.add_event_handler(events)
    try:
        await every_way(make(callback_manager=CallbackManager([debug])))
    finally:
        root.event_handlers.remove(events)
    return events.names, [(pair[0].event_type, len(pair)) for pair in debug.get_event_pairs()]


@pytest.mark.shows(LEASE)
@pytest.mark.parametrize("make", [Words, Functions])
async def test_callbacks_are_native(make, enabled):
    """Callbacks and events hear the same, in the same order."""
    native = await heard(make)
    assert native[0]
    enabled()
    assert await heard(make) == native


@pytest.mark.shows(STREAM)
def test_a_stream_starts_when_it_is_asked_for(enabled):
    """What the method does before its first item happens at once, as natively; unread, it holds nobody up."""
    kernel = enabled(limits={"llm:*": {"in_flight": 1}})
    llm = Functions(heard=[])
    stream = llm.stream_chat(message("a"))
    assert len(llm.heard) == 1
    del stream
    assert llm.chat(message("b")).message.content == "hello big world"
    assert kernel.status().syscalls == {"llm": 2}


class Broken(Words):
    def complete(self, prompt, formatted=False, **kwargs):
        raise KeyError(prompt)

    def stream_complete(self, prompt, formatted=False, **kwargs):
        raise KeyError(prompt)


async def test_errors_are_native(enabled):
    """What a model raises is raised, where it is raised natively, and the turn goes back."""
    kernel = enabled(limits={"llm:*": {"in_flight": 1}})
    llm = Broken()
    for call in (llm.complete, llm.stream_complete):
        with pytest.raises(KeyError):
            call("a")
    with pytest.raises(KeyError):
        await llm.achat(message("a"))
    with pytest.raises(KeyError):
        [item async for item in await llm.astream_chat(message("a"))]
    assert kernel.status().syscalls == {"llm": 4}
    assert not any(queue["running"] for queue in kernel.status().resources)


@pytest.mark.shows(ASYNC)
async def test_waiting_leaves_the_event_loop_free(enabled):
    """Ten calls of a model with one turn at a time, in one event loop."""
    kernel = enabled(limits={"llm:*": {"in_flight": 1}})
    llm = Functions()
    replies = await asyncio.gather(*(llm.achat(message("a")) for _ in range(10)))
    assert {reply.message.content for reply in replies} == {"hello big world"}
    assert kernel.status().syscalls == {"llm": 10}


def test_a_subclass_defined_late(enabled):
    """A class made after enable() is gated; its methods call their base's within the same syscall."""
    kernel = enabled()

    class Late(Words):
        def complete(self, prompt, formatted=False, **kwargs):
            return super().complete(prompt, formatted=formatted, **kwargs)

    assert Late().chat(message("a")).message.content == "hello big world"
    assert kernel.status().syscalls == {"llm": 1}


@pytest.mark.shows(ONCE, ASYNC)
async def test_embeddings(enabled):
    """Vectors are the same; each request of the model is a syscall of its own kind."""

    async def vectors(model):
        return [
            model.get_query_embedding("a"),
            model.get_text_embedding("bb"),
            model.get_text_embedding_batch(["a", "bb"]),
            await model.aget_query_embedding("a"),
            await model.aget_text_embedding("bb"),
            await model.aget_text_embedding_batch(["a", "bb"]),
        ]

    native = await vectors(Letters())
    kernel = enabled()
    assert await vectors(Letters()) == native
    assert kernel.status().syscalls == {"embedding": 8}
