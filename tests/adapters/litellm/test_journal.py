"""A journal under litellm: a program run again gives the same, by a strict replay in which no endpoint is asked."""

from __future__ import annotations

import litellm
import pytest
from litellm import acompletion as early_acompletion

from tests.adapters.litellm.programs import ASYNC, HTTP, SAY, SDK, SYNC, at, collect, seen
from tests.support.columns import ASYNC as ASYNC_CALLS
from tests.support.columns import ONCE, STREAM
from tests.support.journaled import atwice, journaled, twice


@pytest.mark.shows(ONCE, STREAM)
@pytest.mark.parametrize("name", SYNC)
def test_sync_program(name, endpoint, tmp_path):
    """Every call is answered from the journal, and none is made."""
    program, count = SYNC[name]
    first, second, replayed = twice(tmp_path / "j", endpoint, lambda: program(endpoint.base_url))
    assert seen(second) == seen(first)
    assert replayed == count


@pytest.mark.shows(ONCE, STREAM, ASYNC_CALLS)
@pytest.mark.parametrize("name", ASYNC)
async def test_async_program(name, endpoint, tmp_path):
    """The same in an event loop."""
    program, count = ASYNC[name]
    first, second, replayed = await atwice(tmp_path / "j", endpoint, lambda: program(endpoint.base_url))
    assert seen(second) == seen(first)
    assert replayed == count


@pytest.mark.shows(ONCE, STREAM)
@pytest.mark.parametrize("model", [SDK, HTTP])
def test_a_stream_given_back_is_litellm_s_own(model, endpoint, tmp_path):
    """Of its class, with the same pieces, ids and times included; and litellm builds the same whole of them."""

    def run():
        stream = litellm.completion(model, SAY, stream=True, **at(endpoint.base_url))
        pieces = list(stream)
        return type(stream), pieces, litellm.stream_chunk_builder(pieces, messages=SAY).choices

    first, second, _ = twice(tmp_path / "j", endpoint, run)
    assert second == first
    assert repr(second) == repr(first)
    assert first[0] is litellm.CustomStreamWrapper


@pytest.mark.shows(ONCE, STREAM)
def test_responses_of_a_provider_without(endpoint, tmp_path):
    """The bridge from chats to responses has a stream of a class of its own."""

    def run():
        return list(litellm.responses(model=HTTP, input="hello", stream=True, **at(endpoint.base_url)))

    first, second, replayed = twice(tmp_path / "j", endpoint, run)
    assert seen(second) == seen(first)
    assert replayed == 1


@pytest.mark.shows(ONCE, STREAM)
@pytest.mark.parametrize("model", [SDK, HTTP])
def test_a_stream_left_halfway_is_no_answer(model, endpoint, tmp_path):
    """Its call is made again, and the whole of it is recorded then."""

    def left():
        next(litellm.completion(model, SAY, stream=True, **at(endpoint.base_url)))

    def whole():
        return list(litellm.completion(model, SAY, stream=True, **at(endpoint.base_url)))

    for run, recorded in ((left, 0), (left, 0), (whole, 1), (whole, 0)):
        with journaled(tmp_path / "j") as journal:
            run()
            assert journal.counts["recorded"] == recorded
    assert len(endpoint.requests) == 3


@pytest.mark.shows(ONCE, STREAM, ASYNC_CALLS)
async def test_functions_taken_before_enable(endpoint, tmp_path):
    """What was imported by its name is recorded and given back too, streams included."""

    async def run():
        whole = await early_acompletion(HTTP, SAY, **at(endpoint.base_url))
        return [whole, *await collect(early_acompletion(HTTP, SAY, stream=True, **at(endpoint.base_url)))]

    first, second, replayed = await atwice(tmp_path / "j", endpoint, run)
    assert repr(second) == repr(first)  # litellm says in each how long this call took
    assert replayed == 2
