"""Calls that take turns on a server which can continue a message: the same text, in turns, with one usage."""

from __future__ import annotations

import threading
from typing import Any

import pytest

from aios_evals.endpoint import Endpoint
from aios_kernel import Agent, ChatCall, CompletionCall, Kernel, Sampling
from aios_kernel.cores.openai_compatible import OpenAICore
from aios_kernel.errors import CoreError, UnknownName
from tests.support.waiting import PATIENCE, wait_until

TOKENS = 24
MESSAGE_OVERHEAD = 3  # of the simulated endpoint


def _text(prompt):
    """Text of its own for each agent, whatever turn it is."""
    if prompt.kind == "completions":
        return _story(prompt.text[:6]).removeprefix(prompt.text)
    return " ".join(f"{prompt.text}{i}" for i in range(TOKENS))


def _story(begun):
    return begun + "".join(f" {begun[-1]}{i}" for i in range(TOKENS))


class Watched:
    """A kernel before an endpoint, and what was put down on it."""

    def __init__(self, endpoint, style, policy="rr:quantum=5", max_in_flight=1):
        self.endpoint = endpoint
        self.core = OpenAICore(
            endpoint.base_url, "sim", "key", timeout=PATIENCE, max_in_flight=max_in_flight, continuation=style
        )
        self.kernel = Kernel(llm=self.core, policy=policy)
        self.put_down, self.first = [], []
        self.kernel.bus.subscribe(self._note)

    def _note(self, event):
        if event.name == "preempt":
            self.put_down.append(event.agent)

    def together(self, *calls):
        """Make the calls from a thread each, so that all wait before one is granted; their replies in order."""
        replies: list[Any] = [None] * len(calls)

        def run(index, call):
            with self.kernel.syscall(call) as grant:
                if call.stream:
                    deltas = list(grant.deltas())
                    replies[index] = ("".join(delta.text for delta in deltas), deltas[-1].usage)
                else:
                    reply = grant.reply()
                    replies[index] = (reply.text, reply.usage)

        threads = [threading.Thread(target=run, args=pair) for pair in enumerate(calls)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(PATIENCE)
        return replies


@pytest.fixture
def watched():
    """Start a kernel before an endpoint that writes a token at a time: `watched("vllm")`."""
    made = []

    def start(style, policy="rr:quantum=5", **options):
        endpoint = Endpoint(reply=_text, **{"token_latency": 0.005, **options})
        endpoint.__enter__()
        made.append(Watched(endpoint, style, policy))
        return made[-1]

    yield start
    for one in made:
        one.kernel.close()
        wait_until(lambda one=one: one.core.status()["workers"] == 0)
        one.endpoint.__exit__(None, None, None)


def _ask(name, **options):
    return ChatCall(agent=Agent(name=name), messages=({"role": "user", "content": name},), **options)


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize("style", ["vllm", "anthropic", "deepseek"])
def test_turns(watched, style, stream):
    """Two agents take turns on a server of capacity one, and each gets the text and the usage of one turn."""
    run = watched(style, capacity=1)
    replies = run.together(_ask("a", stream=stream), _ask("b", stream=stream))
    assert [text for text, _ in replies] == [" ".join(f"{name}{i}" for i in range(TOKENS)) for name in "ab"]
    assert set(run.put_down) == {"a", "b"}
    assert len(run.endpoint.requests) == 2 + len(run.put_down)
    (_, alone) = run.together(_ask("a", stream=stream))[0]
    assert [usage.output_tokens for _, usage in replies] == [alone.output_tokens] * 2
    # A server may count the begun message itself as a few tokens of its template.
    assert all(0 <= usage.input_tokens - alone.input_tokens <= MESSAGE_OVERHEAD for _, usage in replies)


def test_what_is_sent(watched):
    """A turn sends the prompt and the text so far, cut between words, with the rest of the tokens."""
    run = watched("vllm")
    run.together(*(_ask(name, sampling=Sampling(max_tokens=TOKENS)) for name in "ab"))
    later = [r.body for r in run.endpoint.requests if r.body["messages"][-1]["role"] == "assistant"]
    assert later
    for body in later:
        begun = body["messages"][-1]["content"]
        assert body["continue_final_message"] is True
        assert body["add_generation_prompt"] is False
        assert begun == begun.strip()
        name = body["messages"][0]["content"]
        assert (" ".join(f"{name}{i}" for i in range(TOKENS)) + " ").startswith(begun + " ")
        assert 0 < body["max_tokens"] < TOKENS


def test_text_completions_go_on_from_the_prompt(watched):
    """A completion needs no such parameter: its prompt grows."""
    run = watched("vllm")
    calls = [CompletionCall(agent=Agent(name=name), prompt=f"tell {name}") for name in "ab"]
    replies = run.together(*calls)
    assert [call.prompt + text for call, (text, _) in zip(calls, replies, strict=True)] == [
        _story("tell a"),
        _story("tell b"),
    ]
    prompts = [record.body["prompt"] for record in run.endpoint.requests]
    assert len(prompts) == 2 + len(run.put_down) > 2
    assert all(_story(prompt[:6]).startswith(prompt) for prompt in prompts)


@pytest.mark.parametrize(
    ("style", "policy", "options"),
    [
        (None, "rr:quantum=5", {}),
        ("vllm", "fifo", {}),
        ("vllm", "rr:quantum=5", {"response_format": {"type": "json_object"}}),
        ("vllm", "rr:quantum=5", {"tools": ({"type": "function", "function": {"name": "t", "parameters": {}}},)}),
    ],
)
def test_what_is_never_put_down(watched, style, policy, options):
    """Without a style, under a policy without a quantum, and where text has a form, each call is one request."""
    run = watched(style, policy)
    run.together(_ask("a", **options), _ask("b", **options))
    assert run.put_down == []
    assert len(run.endpoint.requests) == 2


def test_alone_nothing_is_put_down(watched):
    """With nobody waiting there is nobody to make room for."""
    run = watched("vllm")
    run.together(_ask("a"))
    assert run.put_down == []


def test_left_while_it_waits_for_its_next_turn(watched):
    """A reader that leaves a call which is put down ends it; the other goes on."""
    run = watched("vllm", capacity=1, token_latency=0.05)
    begun, down = threading.Event(), threading.Event()
    run.kernel.bus.subscribe(lambda event: down.set() if event.name == "preempt" else None)
    done = []

    def leave():
        with run.kernel.syscall(_ask("a", stream=True)) as grant:
            deltas = grant.deltas()
            next(deltas)
            begun.set()
            assert down.wait(PATIENCE)

    def stay():
        with run.kernel.syscall(_ask("b")) as grant:
            done.append(grant.reply().text)

    threads = [threading.Thread(target=leave), threading.Thread(target=stay)]
    threads[0].start()
    assert begun.wait(PATIENCE)
    threads[1].start()
    for thread in threads:
        thread.join(PATIENCE)
    assert done == [" ".join(f"b{i}" for i in range(TOKENS))]
    wait_until(lambda: not run.kernel.running)
    assert not any(row["waiting"] for row in run.kernel.status().resources)


def test_closed_while_one_is_put_down(watched):
    """A kernel that closes wakes those that wait for their next turn."""
    run = watched("vllm", capacity=1)
    failed = []

    def ask(name):
        try:
            with run.kernel.syscall(_ask(name)) as grant:
                grant.reply()
        except Exception as error:  # noqa: BLE001
            failed.append(type(error).__mro__)

    run.kernel.bus.subscribe(lambda event: closing.set() if event.name == "preempt" else None)
    closing = threading.Event()
    threads = [threading.Thread(target=ask, args=(name,)) for name in "ab"]
    for thread in threads:
        thread.start()
    assert closing.wait(PATIENCE)
    run.kernel.close()
    for thread in threads:
        thread.join(PATIENCE)
        assert not thread.is_alive()
    assert len(failed) == 2


def test_an_unknown_style():
    """The error names those there are."""
    with pytest.raises(UnknownName, match="vllm"):
        OpenAICore("http://localhost:1/v1", continuation="vlm")


def test_a_continuation_that_fails_is_the_calls_failure(watched):
    """What the server answers to a later turn reaches the caller."""
    run = watched("vllm", capacity=1)
    run.kernel.bus.subscribe(
        lambda event: run.endpoint.fail_next("fail-400") if event.name == "preempt" and len(run.put_down) == 1 else None
    )
    failed = []

    def ask(name):
        try:
            with run.kernel.syscall(_ask(name)) as grant:
                grant.reply()
        except CoreError as error:
            failed.append(str(error))

    threads = [threading.Thread(target=ask, args=(name,)) for name in "ab"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE)
    assert len(failed) == 1
    assert "answered 400" in failed[0]
