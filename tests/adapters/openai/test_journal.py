"""The journal under the openai SDK: each mode of calling it is answered with what it gave, and the endpoint hears nothing."""

from __future__ import annotations

import asyncio
import warnings
from typing import Any

import openai
import pytest

import aios_adapters
from aios_evals.endpoint import Endpoint
from aios_kernel.cores.scripted import ScriptedCore
from aios_kernel.errors import JournalDivergence
from tests.adapters.openai.modes import ASYNC, CHAT, HAS_HELPERS, HAS_RESPONSES, SYNC
from tests.support import columns


def _possible(mode):
    return (HAS_RESPONSES or "response" not in mode or mode.startswith("chat")) and (
        HAS_HELPERS or not ("helper" in mode or "parse" in mode)
    )


def _run(journal, mode, endpoint, **options: Any):
    aios_adapters.enable(journal=journal, **options)
    try:
        with openai.OpenAI(base_url=endpoint.base_url, api_key="test") as client, warnings.catch_warnings():
            warnings.simplefilter("ignore")  # pydantic's, about the SDK's own helpers
            return SYNC[mode](client)
    finally:
        aios_adapters.disable()


def _arun(journal, mode, endpoint):
    async def main():
        async with openai.AsyncOpenAI(base_url=endpoint.base_url, api_key="test") as client:
            return await ASYNC[mode](client)

    aios_adapters.enable(journal=journal)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return asyncio.run(main())
    finally:
        aios_adapters.disable()


def _plain(result):
    return result.read() if hasattr(result, "read") else result


@pytest.mark.shows(columns.ONCE, columns.LEASE)
@pytest.mark.parametrize("mode", [mode for mode in SYNC if _possible(mode)])
def test_a_second_run_gives_the_same(mode, tmp_path):
    """Equal objects of the same types; nothing is sent, although the endpoint is another one by now."""
    with Endpoint(reply_tokens=6) as endpoint:
        first = _run(tmp_path / "j", mode, endpoint)
        assert len(endpoint.requests) == 1
    with Endpoint(reply_tokens=9) as endpoint:
        second = _run(tmp_path / "j", mode, endpoint)
        assert endpoint.requests == []
    assert second == first
    assert type(second) is type(first)
    assert repr(second) == repr(first)


@pytest.mark.shows(columns.ASYNC)
@pytest.mark.parametrize("mode", [mode for mode in ASYNC if _possible(mode)])
def test_a_second_run_gives_the_same_in_an_event_loop(mode, tmp_path):
    """The same in the caller's loop."""
    with Endpoint(reply_tokens=6) as endpoint:
        first = _arun(tmp_path / "j", mode, endpoint)
        assert len(endpoint.requests) == 1
        second = _arun(tmp_path / "j", mode, endpoint)
        assert len(endpoint.requests) == 1
    assert second == first


@pytest.mark.shows(columns.STREAM)
def test_a_stream_left_at_its_end_is_whole_and_one_left_early_is_not(endpoint, client, tmp_path):
    """Reading to the finish reason is enough: some programs never ask for what comes after it."""
    for pieces, expected in ((3, 2), (None, 1)):
        journal = tmp_path / f"j{pieces}"
        endpoint.reset()
        for _ in range(2):
            aios_adapters.enable(journal=journal)
            stream = client.chat.completions.create(**CHAT, stream=True)
            for number, chunk in enumerate(stream):
                if number == pieces or chunk.choices[0].finish_reason:
                    break
            stream.close()
            aios_adapters.disable()
        assert len(endpoint.requests) == expected


@pytest.mark.shows(columns.SERVE)
def test_served_calls_are_journaled_too_and_answer_leased_ones(endpoint, client, tmp_path):
    """A run on the kernel's own core is the journal of a run on the program's endpoint, streams included."""
    asked = []

    def answer(call):
        asked.append(call)
        return "one two three"

    def both():
        text = client.chat.completions.create(**CHAT).choices[0].message.content
        stream = client.chat.completions.create(**CHAT, stream=True)
        return text, "".join(chunk.choices[0].delta.content or "" for chunk in stream if chunk.choices)

    aios_adapters.enable(journal=tmp_path / "j", llm=ScriptedCore(answer))
    first = both()
    aios_adapters.disable()
    aios_adapters.enable(journal=tmp_path / "j")
    assert both() == first == ("one two three", "one two three")
    assert (len(asked), endpoint.requests) == (2, [])


@pytest.mark.parametrize(("fault", "stream"), [("fail-400", False), ("truncated-stream", True)])
def test_errors_are_not_answers(endpoint, client, tmp_path, fault, stream):
    """A failed call is made again; so is a stream that the endpoint broke off."""
    for _ in range(2):
        aios_adapters.enable(journal=tmp_path / "j")
        # A stream that breaks off raises what the HTTP library raises, which the SDK's versions do not share.
        with pytest.raises(Exception, match=r"400|incomplete|peer closed|Connection error"):
            list(client.chat.completions.create(model=f"sim+{fault}", messages=CHAT["messages"], stream=stream))
        aios_adapters.disable()
    assert len(endpoint.requests) == 2


def test_a_secret_that_a_model_repeats_is_in_no_file(tmp_path):
    """In no byte of them while the program runs and after it; and the program is given it again."""
    secrets = ["sk-proj-Abc123Def456Ghi789Jkl012", "Zm9vYmFyMTIzNDU2Nzg5MA", "hunter2xyz9"]
    said = "key {} Authorization: Bearer {} postgres://ada:{}@db/notes".format(*secrets)

    def run():
        with openai.OpenAI(base_url=endpoint.base_url, api_key=secrets[0], max_retries=0) as client:
            messages: Any = [{"role": "user", "content": said}]
            text = client.chat.completions.create(model="sim", messages=messages).choices[0].message.content
            stream = client.chat.completions.create(model="sim", messages=messages, stream=True)
            pieces = [chunk.choices[0].delta.content or "" for chunk in stream if chunk.choices]
            with pytest.raises(openai.BadRequestError):
                client.chat.completions.create(model="sim+fail-400", messages=messages)
            return text, pieces

    def found():
        return [(one, path.name) for path in tmp_path.iterdir() for one in secrets if one.encode() in path.read_bytes()]

    with Endpoint(reply=lambda prompt: said) as endpoint:
        results = []
        for _ in range(2):
            aios_adapters.enable(journal=tmp_path / "j")
            results.append(run())
            assert found() == []
            aios_adapters.disable()
            assert found() == []
        assert len(endpoint.requests) == 4  # two answers, and twice an error
    assert results[0] == results[1]
    assert results[0][0] == "".join(results[0][1]) == said


def test_a_strict_replay_raises_in_our_words(endpoint, client, tmp_path):
    """No framework makes a retry of it, and the program's author sees the difference."""
    aios_adapters.enable(journal=tmp_path / "j")
    client.chat.completions.create(**CHAT)
    aios_adapters.enable(journal_mode="strict")
    client.chat.completions.create(**CHAT)
    with pytest.raises(JournalDivergence):
        client.chat.completions.create(model="sim", messages=[{"role": "user", "content": "other"}])
    assert len(endpoint.requests) == 1
