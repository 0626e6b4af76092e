"""A journal under the SDK's 0.x: every mode of calling it is answered with what it gave, and the endpoint hears nothing."""

from __future__ import annotations

import asyncio
import gc

import openai
import pytest

from aios_kernel.cores.scripted import ScriptedCore
from aios_kernel.errors import JournalError
from tests.adapters.openai_legacy.test_legacy import ASYNC_MODES, CHAT, MODES, USER, script
from tests.support.columns import ASYNC, LEASE, ONCE, SERVE, STREAM
from tests.support.journaled import atwice, journaled, twice
from tests.support.waiting import wait_until

WHOLE = [name for name in MODES if name != "engine"]  # the endpoint has no engines


def _told(result):
    """What there is to an object beside its fields."""
    first = result[0] if isinstance(result, list) else result
    return type(first), first.organization, first.response_ms, str(result).split(" at 0x")[0]


@pytest.mark.shows(LEASE, ONCE, STREAM)
@pytest.mark.parametrize("name", WHOLE)
def test_a_second_run_gives_the_same(name, endpoint, tmp_path):
    """Equal objects of the same types, with what the SDK read from the headers."""
    first, second, replayed = twice(tmp_path / "j", endpoint, MODES[name])
    assert second == first
    assert _told(second) == _told(first)
    assert replayed == 1


@pytest.mark.shows(LEASE, ONCE, STREAM, ASYNC)
@pytest.mark.parametrize("name", ASYNC_MODES)
async def test_a_second_run_gives_the_same_in_an_event_loop(name, endpoint, tmp_path):
    """The same in the caller's loop."""
    first, second, replayed = await atwice(tmp_path / "j", endpoint, ASYNC_MODES[name])
    assert second == first
    assert _told(second) == _told(first)
    assert replayed == 1


@pytest.mark.shows(ONCE, STREAM, ASYNC)
async def test_what_was_recorded_in_a_thread_answers_an_event_loop(endpoint, tmp_path):
    """One request, whichever half of the SDK makes it."""
    with journaled(tmp_path / "j"):
        first = MODES["chat stream"](), MODES["chat"]()
    endpoint.reset()
    with journaled(tmp_path / "j", "strict"):
        assert (await ASYNC_MODES["chat stream"](), await ASYNC_MODES["chat"]()) == first
    assert endpoint.requests == []


@pytest.mark.shows(ONCE, STREAM)
def test_a_stream_left_at_its_end_is_whole_and_one_left_early_is_not(endpoint, tmp_path):
    """Reading to the finish reason is enough; what was read to the middle is asked for again."""
    for pieces, expected in ((2, 2), (None, 1)):
        endpoint.reset()
        for _ in range(2):
            with journaled(tmp_path / f"j{pieces}"):
                stream = openai.ChatCompletion.create(**CHAT, stream=True)
                for number, chunk in enumerate(stream):
                    if number == pieces or chunk["choices"][0]["finish_reason"]:
                        break
                del stream
                gc.collect()
        assert len(endpoint.requests) == expected


@pytest.mark.shows(ONCE, STREAM, ASYNC)
async def test_the_same_of_a_stream_in_an_event_loop(endpoint, tmp_path):
    """Closed as its reader leaves."""
    for pieces, expected in ((2, 2), (None, 1)):
        endpoint.reset()
        for _ in range(2):
            with journaled(tmp_path / f"j{pieces}") as journal:
                stream = await openai.ChatCompletion.acreate(**CHAT, stream=True)
                number = 0
                async for chunk in stream:
                    if number == pieces or chunk["choices"][0]["finish_reason"]:
                        break
                    number += 1
                await stream.aclose()
                if pieces is None:  # the SDK leaves its own generator to the loop
                    await asyncio.to_thread(wait_until, lambda: any(journal.counts.values()))
        assert len(endpoint.requests) == expected


@pytest.mark.parametrize(("fault", "stream"), [("fail-400", False), ("truncated-stream", True)])
def test_errors_are_not_answers(endpoint, tmp_path, fault, stream):
    """A failed call is made again; so is a stream that the endpoint broke off."""
    for _ in range(2):
        with journaled(tmp_path / "j") as journal:
            with pytest.raises(Exception, match=r"400|fault|incomplete|Connection|prematurely|IncompleteRead"):
                list(openai.ChatCompletion.create(model=fault, messages=USER, stream=stream))
            assert journal.counts["recorded"] == 0
    assert len(endpoint.requests) == 2


@pytest.mark.shows(SERVE, STREAM)
def test_served_calls_answer_leased_ones(endpoint, tmp_path):
    """A run on the kernel's core is the journal of a run on the program's endpoint."""

    def run():
        return openai.ChatCompletion.create(**CHAT), list(openai.ChatCompletion.create(**CHAT, stream=True))

    def texts(result):
        whole, stream = result
        pieces = "".join(chunk["choices"][0]["delta"].get("content", "") for chunk in stream)
        return whole["choices"][0]["message"]["content"], pieces

    with journaled(tmp_path / "j", llm=ScriptedCore(script)):
        first = run()
    with journaled(tmp_path / "j", "strict"):
        assert texts(run()) == texts(first) == ("one two three", "one two three")
    assert endpoint.requests == []


def test_a_strict_replay_raises_in_our_words(endpoint, tmp_path):
    """No handler of the SDK's errors takes it for one of the endpoint's."""
    with journaled(tmp_path / "j"):
        openai.ChatCompletion.create(**CHAT)
    with journaled(tmp_path / "j", "strict"), pytest.raises(JournalError):
        openai.ChatCompletion.create(model="sim", messages=[{"role": "user", "content": "other"}])
    assert len(endpoint.requests) == 1
