"""A journal under LangChain and LangGraph: a program run again gives the same, asks no model and runs no tool."""

from __future__ import annotations

from typing import Any

import pytest
from langchain_core.language_models.fake_chat_models import GenericFakeChatModel
from langchain_core.messages import AIMessage

import aios_adapters
from tests.adapters.langchain.programs import ASYNC, SYNC, Letters, Words, seen
from tests.support.columns import ASYNC as ASYNC_CALLS
from tests.support.columns import ONCE, STREAM, TOOLS

pytestmark = [pytest.mark.shows(ONCE), pytest.mark.filterwarnings("ignore:Pydantic serializer warnings")]


@pytest.fixture
def journaled(tmp_path):
    """Begin a run with the test's journal; the run's counts are read from its kernel."""

    def begin(mode="record") -> Any:
        aios_adapters.disable()
        aios_adapters.enable(journal=tmp_path / "j", journal_mode=mode)
        return aios_adapters.kernel()

    yield begin
    aios_adapters.disable()


@pytest.mark.shows(STREAM, TOOLS)
@pytest.mark.parametrize("name", SYNC)
def test_sync_program(name, endpoint, journaled):
    """The whole result is the same, by a strict replay: every call is answered, none is made."""
    program, llm, tools = SYNC[name]
    journaled()
    first = seen(program(endpoint.base_url))
    endpoint.reset()
    kernel = journaled("strict")
    assert seen(program(endpoint.base_url)) == first
    assert endpoint.requests == []
    assert kernel.journal.counts["replayed"] == llm + tools
    assert kernel.journal.left() == []


#: A tool that is answered does not run, so it tells its callbacks nothing.
INSIDE_TOOLS = {"agent events"}


@pytest.mark.shows(ASYNC_CALLS)
@pytest.mark.parametrize("name", [name for name in ASYNC if name not in INSIDE_TOOLS])
async def test_async_program(name, endpoint, journaled):
    """The same in an event loop."""
    program, llm, tools = ASYNC[name]
    journaled()
    first = seen(await program(endpoint.base_url))
    endpoint.reset()
    kernel = journaled("strict")
    assert seen(await program(endpoint.base_url)) == first
    assert endpoint.requests == []
    assert kernel.journal.counts["replayed"] == llm + tools


async def test_models_without_the_sdk(journaled):
    """Models of other packages: their own results come back, in each way of calling them."""

    def message(text):
        usage: Any = {"input_tokens": 3, "output_tokens": 4, "total_tokens": 7}
        call: Any = {"name": "weigh", "args": {"what": text}, "id": "c1", "type": "tool_call"}
        return AIMessage(text, id="run-1", tool_calls=[call], usage_metadata=usage)

    async def every_way(messages):
        chat, words, letters = GenericFakeChatModel(messages=iter(messages)), Words(), Letters()
        return seen(
            [
                chat.invoke("a"),
                list(chat.stream("b c")),
                await chat.ainvoke("d"),
                words.invoke("e"),
                list(words.stream("f")),
                [item async for item in words.astream("g")],
                letters.embed_query("h"),
                letters.embed_documents(["i", "jj"]),
            ]
        )

    journaled()
    first = await every_way([message("one two"), AIMessage("three four"), message("five")])
    journaled("strict")
    assert await every_way([]) == first  # the models have nothing left to say by themselves
