"""Leased calls: the same results, the same requests, and as many syscalls as the program made calls."""

from __future__ import annotations

import inspect

import autogen
import openai
import pytest

from tests.adapters.autogen_classic.programs import PROGRAMS, config, run
from tests.support.columns import ASYNC, CODE, LEASE, ONCE, STREAM, TOOLS
from tests.support.runs import requests

_SHOWS = {
    "streaming": (STREAM,),
    "streamed chat": (STREAM, TOOLS),
    "async chat": (ASYNC, TOOLS),
    "async group": (ASYNC,),
    "async queue": (ASYNC,),
    "chat": (TOOLS,),
    "coder": (CODE,),
    "legacy coder": (CODE,),
}
HELLO = [{"role": "user", "content": "hello"}]


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=pytest.mark.shows(LEASE, ONCE, *_SHOWS.get(name, ()))) for name in PROGRAMS]
)
def test_program(name, endpoint, enabled, capsys):
    """A program run with the kernel gives and prints what it does without, by the same requests; each call is one."""
    program, llm, tools = PROGRAMS[name]
    native, sent = run(program, config(endpoint.base_url)), requests(endpoint)
    printed = capsys.readouterr().out
    endpoint.reset()
    kernel = enabled()
    assert run(program, config(endpoint.base_url)) == native
    assert capsys.readouterr().out == printed
    assert requests(endpoint) == sent
    counts = kernel.status().syscalls
    assert (len(sent), counts.get("llm", 0), counts.get("tool", 0)) == (llm, llm, tools)


@pytest.mark.shows(ONCE)
def test_cached(endpoint, enabled):
    """An answer out of AutoGen's cache calls no model and is no syscall, and stays what it was."""
    client = autogen.OpenAIWrapper(**{**config(endpoint.base_url), "cache_seed": 41})
    kernel = enabled()
    first, again = (client.create(messages=HELLO) for _ in range(2))
    assert again.choices == first.choices
    assert len(endpoint.requests) == kernel.status().syscalls["llm"] == 1


@pytest.mark.shows(ONCE)
def test_the_default_cache(endpoint, enabled):
    """Whether there is a cache by default is AutoGen's choice, and every call that it lets through is a syscall."""
    kernel = enabled()
    settings = {key: value for key, value in config(endpoint.base_url).items() if key != "cache_seed"}
    for _ in range(2):
        autogen.OpenAIWrapper(**settings).create(messages=HELLO)
    cached = inspect.getsource(autogen.OpenAIWrapper.create).count('get("cache_seed", LEGACY')
    assert len(endpoint.requests) == kernel.status().syscalls["llm"] == 2 - cached


@pytest.mark.shows(ONCE)
def test_the_next_configuration_is_a_new_call(endpoint, enabled):
    """When a configuration fails AutoGen goes on to the next one: two calls, two syscalls, one failed."""
    kernel = enabled()
    settings = config(endpoint.base_url)
    settings["config_list"] = [{**settings["config_list"][0], "model": name} for name in ("fail-401", "sim")]
    autogen.OpenAIWrapper(**settings).create(messages=HELLO)
    assert [request.body["model"] for request in endpoint.requests] == ["fail-401", "sim"]
    (row,) = [row for row in kernel.status().agents if row["syscalls"]]
    assert (row["syscalls"], row["failed"]) == ({"llm": 2}, 1)


@pytest.mark.shows(ONCE)
def test_retries_of_the_sdk_are_one_call(endpoint, enabled):
    """A retry series inside the client is one syscall."""
    endpoint.fail_next("fail-500")
    kernel = enabled()
    autogen.OpenAIWrapper(**config(endpoint.base_url, max_retries=2)).create(messages=HELLO)
    assert (len(endpoint.requests), kernel.status().syscalls) == (2, {"llm": 1})


@pytest.mark.parametrize("fault", ["fail-401", "fail-429", "fail-500"])
@pytest.mark.shows(LEASE)
def test_errors(fault, endpoint, enabled):
    """What an endpoint refuses surfaces as the very same exception, and the slot is given back."""

    def error():
        endpoint.reset()
        endpoint.fail_next(fault)
        with pytest.raises(openai.APIStatusError) as raised:
            PROGRAMS["chat"][0](config(endpoint.base_url))
        return type(raised.value), str(raised.value), len(endpoint.requests)

    native = error()
    kernel = enabled()
    assert error() == native
    assert not any(queue["running"] for queue in kernel.status().resources)
