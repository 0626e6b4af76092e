"""Served calls, and model clients that are not backed by the openai SDK."""

from __future__ import annotations

from types import SimpleNamespace

import autogen
import pytest
from openai.types.chat import ChatCompletion

from aios_kernel.abi import Reply, ToolRequest
from aios_kernel.cores.scripted import ScriptedCore
from tests.adapters.autogen_classic.programs import PROGRAMS, config, pair, run
from tests.support.columns import ASYNC, LEASE, ONCE, SERVE, STREAM, TOOLS

HELLO = [{"role": "user", "content": "hello big world"}]
ASK = ToolRequest(id="call_1", name="weigh", arguments='{"what": "pear"}')


def answer(call):
    """Call the first tool in answer to a user, else end."""
    wanted = call.tools and not any(message["role"] == "tool" for message in call.messages)
    return Reply(tool_calls=(ASK,)) if wanted else "TERMINATE hello"


class Echo:
    """A model client of the program's own, as AutoGen's documentation shows them."""

    def __init__(self, config, **kwargs):
        self.model = config["model"]
        self.calls = 0

    def create(self, params):
        self.calls += 1
        text = params["messages"][-1]["content"].upper()
        message = SimpleNamespace(content=text, function_call=None, tool_calls=None)
        return SimpleNamespace(choices=[SimpleNamespace(message=message)], model=self.model, words=len(text.split()))

    def message_retrieval(self, response):
        return [choice.message.content for choice in response.choices]

    def cost(self, response):
        return 0

    @staticmethod
    def get_usage(response):
        if not hasattr(response, "words"):
            return {}
        return {"prompt_tokens": 1, "completion_tokens": response.words, "total_tokens": 0, "cost": 0, "model": "e"}


class Louder(Echo):
    """A subclass that calls its base."""

    def create(self, params):
        return super().create(params)


def client(cls, **more):
    made = autogen.OpenAIWrapper(
        config_list=[{"model": "echo", "model_client_cls": cls.__name__}], **{"cache_seed": None, **more}
    )
    made.register_model_client(cls)
    return made


@pytest.mark.parametrize("cls", [Echo, Louder])
@pytest.mark.shows(LEASE, ONCE)
def test_leased_custom_client(cls, enabled):
    """A client of the program's own makes one syscall per call, gives its own results and tells what it used."""
    native = client(cls).create(messages=HELLO)
    kernel = enabled()
    made = client(cls)
    for _ in range(2):
        response = made.create(messages=HELLO)
    assert (type(response), response.choices) == (type(native), native.choices)
    assert made.extract_text_or_completion_object(response) == ["HELLO BIG WORLD"]
    assert kernel.status().syscalls == {"llm": 2}
    assert kernel.status().agents[0]["output_tokens"] == 6


@pytest.mark.shows(ONCE)
def test_cached_custom_client(enabled):
    """What the cache answers is no call of the client, and no syscall."""
    kernel = enabled()
    made = client(Louder, cache_seed=7)
    for _ in range(2):
        made.create(messages=HELLO)
    assert (made._clients[0].calls, kernel.status().syscalls) == (1, {"llm": 1})


@pytest.mark.shows(SERVE)
def test_served_custom_client(enabled):
    """The kernel's core answers in the form that AutoGen's own clients return; the client is not called."""
    calls = []
    enabled(llm=ScriptedCore(lambda call: calls.append(call) or "hello small world"))
    made = client(Echo)
    response = made.create(messages=HELLO, temperature=0.5, special=1)
    assert isinstance(response, ChatCompletion)
    assert made.extract_text_or_completion_object(response) == ["hello small world"]
    assert made._clients[0].calls == 0
    (call,) = calls
    assert (call.model, list(call.messages), call.sampling.temperature) == ("echo", HELLO, 0.5)
    assert call.extra["special"] == 1


@pytest.mark.parametrize("name", ["wrapper", "round robin", "async group", "nested", "queue"])
@pytest.mark.shows(SERVE)
def test_served(name, endpoint, enabled):
    """The kernel's core answers AutoGen's own client, whole programs run, and the network hears nothing."""
    enabled(llm=ScriptedCore(lambda call: "alice"))
    assert run(PROGRAMS[name][0], config(endpoint.base_url))
    assert endpoint.requests == []


@pytest.mark.parametrize(
    "name",
    [
        pytest.param("chat", marks=pytest.mark.shows(SERVE, TOOLS)),
        pytest.param("streamed chat", marks=pytest.mark.shows(SERVE, STREAM, TOOLS)),
        pytest.param("async chat", marks=pytest.mark.shows(SERVE, ASYNC, TOOLS)),
    ],
)
def test_served_tools(name, endpoint, enabled):
    """A served tool call is run by AutoGen, and its result goes to the model."""
    enabled(llm=ScriptedCore(answer))
    history, _ = run(PROGRAMS[name][0], config(endpoint.base_url))
    assert [message["content"] for message in history][2:] == ["pear weighs 450 g", "TERMINATE hello"]
    assert endpoint.requests == []


class Shown(autogen.io.IOConsole):
    """Where AutoGen shows what comes in, piece by piece; it prints in 0.2 and sends events later."""

    def __init__(self):
        super().__init__()
        self.pieces = []

    def print(self, *objects, **_):
        self.pieces += [text for text in map(str, objects) if text.strip() and "\033" not in text]

    def send(self, message):
        self.print(getattr(message.content, "content", message.content))


@pytest.mark.parametrize("served", [False, True])
@pytest.mark.shows(SERVE, STREAM)
def test_streams_come_token_by_token(served, endpoint, enabled):
    """A stream goes through AutoGen's own reader, which shows each piece as it comes."""
    enabled(llm=ScriptedCore(lambda call: "one two three four") if served else None)
    shown = Shown()
    with autogen.io.IOStream.set_default(shown):
        response = autogen.OpenAIWrapper(**config(endpoint.base_url, stream=True)).create(messages=HELLO)
    assert len(shown.pieces) == 4
    assert "".join(shown.pieces) == response.choices[0].message.content


def test_early_and_late(enabled):
    """A wrapper made before enable() is gated, and so is an agent's with a client registered after it."""
    early = client(Echo)
    kernel = enabled()
    early.create(messages=HELLO)
    assistant, user = pair(
        {"config_list": [{"model": "echo", "model_client_cls": "Echo"}], "cache_seed": None}, tools=()
    )
    assistant.register_model_client(Echo)
    user.initiate_chat(assistant, message="hi", max_turns=1, silent=True)
    rows = {row["name"]: row["syscalls"].get("llm") for row in kernel.status().agents if "llm" in row["syscalls"]}
    assert rows["alice"] == 1
    assert sum(rows.values()) == 2


def test_errors_are_the_clients_own(enabled):
    """What a client raises, it raises with the kernel too, and the slot is given back."""

    class Failing(Echo):
        def create(self, params):
            raise ZeroDivisionError("no answer")

    kernel = enabled(limits={"llm:*": {"in_flight": 1}})
    for _ in range(3):
        with pytest.raises(ZeroDivisionError, match="no answer"):
            client(Failing).create(messages=HELLO)
    assert not any(queue["running"] for queue in kernel.status().resources)
    assert kernel.status().agents[0]["failed"] == 3
