"""Results of frameworks in a journal: equal objects of the same types, or the truth about why not."""

from __future__ import annotations

import asyncio
import dataclasses
import datetime as dt
import enum
import itertools
import json
import uuid
from typing import Any

import pydantic
import pytest

import aios_adapters
from aios_adapters import calls
from aios_adapters.calls._codec import Unplain, decode, encode
from aios_kernel.abi import ChatCall, ToolCall
from aios_kernel.cores.scripted import ScriptedCore
from aios_kernel.errors import JournalDivergence, JournalError


class Colour(enum.Enum):
    RED = "red"


class Word(str):
    """A text of its own class."""

    __slots__ = ()


class Part(pydantic.BaseModel):
    text: str
    colour: Colour = Colour.RED


class Special(Part):
    more: int = 0


class Whole(pydantic.BaseModel, extra="allow"):
    parts: list[Part]
    made: dt.datetime
    alias: int = pydantic.Field(alias="aliasName")
    _secret: int = pydantic.PrivateAttr(default=3)


@dataclasses.dataclass(frozen=True)
class Point:
    x: int
    y: tuple[int, ...] = ()


class Event:
    """A framework's own class, compared by what it holds."""

    def __init__(self, text):
        self.text = text
        self.listeners = ()

    def __eq__(self, other):
        return isinstance(other, Event) and vars(self) == vars(other)

    def __hash__(self):
        return hash(self.text)

    def __repr__(self):
        return f"Event({self.text!r})"


class Pickled(Event):
    """One that leaves out of a pickle what it holds for the framework."""

    def __init__(self, text, raw=None):
        super().__init__(text)
        self.raw = raw

    def __getstate__(self):
        return {"text": self.text, "listeners": ()}


class Opaque:
    pass


VALUES = [
    None,
    {"a": [1, 2.5, "x", True, None], "$": "not a mark"},
    {1: "one", (2, 3): {4}},
    (b"bytes", bytearray(b"x"), frozenset({1})),
    [uuid.UUID(int=5), dt.date(2020, 1, 2), dt.datetime(2020, 1, 2, tzinfo=dt.timezone.utc)],
    Word("w"),
    Point(1, (2, 3)),
    Event("e"),
    Pickled("p", raw=[1]),
    Whole(parts=[Special(text="t", more=2)], made=dt.datetime(2020, 1, 1), aliasName=4, other=[1]),  # noqa: DTZ001
]


@pytest.mark.parametrize("value", VALUES, ids=lambda value: type(value).__name__)
def test_what_is_kept_comes_back_as_it_was(value):
    """Equal and of the same type, subclasses in fields too, through JSON text."""
    again = decode(json.loads(json.dumps(encode(value))))
    assert again == value
    assert type(again) is type(value)
    assert repr(again) == repr(value)


def test_a_model_keeps_what_it_was_given():
    """Which fields were set, what was extra, and its private state: another dump gives the same."""
    value = VALUES[-1]
    again = decode(encode(value))
    assert isinstance(again, Whole)
    assert again.model_dump(exclude_unset=True, by_alias=True) == value.model_dump(exclude_unset=True, by_alias=True)
    assert type(again.parts[0]) is Special
    assert again._secret == 3


@pytest.mark.parametrize(
    "value",
    [
        Opaque(),
        Pickled("p", raw=object()),
        [1, {"x": object()}],
        lambda: 1,
        float("nan"),
        type("Local", (str,), {})("x"),
    ],
)
def test_what_cannot_come_back_is_told(value):
    """Nothing is kept that would be given back as something else."""
    with pytest.raises(Unplain):
        encode(value)


@pytest.mark.parametrize(
    "name", ["os:system", "builtins:eval", "subprocess:Popen", "tests.adapters.core.test_journal:Opaque"]
)
def test_a_journal_cannot_have_functions_called(name):
    """A file names classes of data only; what is anything else is refused before it is made."""
    for kind in ("model", "dataclass", "enum", "object"):
        with pytest.raises(Unplain):
            decode({"$": kind, "t": name, "v": {}})


class Framework:
    """Calls of a framework, each counted where it really happens."""

    def __init__(self) -> None:
        self.done: list[str] = []
        self.result: Any = Special(text="made", more=1)

    def _chat(self, *, stream=False):
        return ChatCall(model="m", stream=stream, messages=[{"role": "user", "content": "hi"}])

    def ask(self):
        return calls.llm_call("x", self._chat, lambda: self._do("ask"), lambda reply: Part(text=reply.text))

    async def aask(self):
        async def native():
            return self._do("aask")

        return await calls.allm_call("x", self._chat, native, lambda reply: Part(text=reply.text))

    def stream(self):
        return list(
            calls.llm_stream("x", lambda: self._chat(stream=True), lambda: [self._do("stream"), 2], lambda delta: [])
        )

    async def astream(self):
        async def native():
            yield self._do("astream")
            yield 2

        made = calls.allm_stream("x", lambda: self._chat(stream=True), native, lambda delta: [])
        return [item async for item in made]

    def tool(self):
        return calls.tool_call(
            "x", lambda: ToolCall(name="t"), lambda: self._do("tool"), lambda error: f"denied {error}"
        )

    async def atool(self):
        async def native():
            return self._do("atool")

        return await calls.atool_call("x", lambda: ToolCall(name="t"), native, lambda error: f"denied {error}")

    def tools(self):
        return list(
            calls.tool_stream(
                "x", lambda: ToolCall(name="ts"), lambda: [self._do("tools"), 2], lambda error: ["denied"]
            )
        )

    async def atools(self):
        async def native():
            yield self._do("atools")
            yield 2

        made = calls.atool_stream("x", lambda: ToolCall(name="ts"), native, lambda error: ["denied"])
        return [item async for item in made]

    def _do(self, what):
        self.done.append(what)
        return self.result


KINDS = ["ask", "aask", "stream", "astream", "tool", "atool", "tools", "atools"]


def _call(framework, name):
    made = getattr(framework, name)()
    return asyncio.run(made) if asyncio.iscoroutine(made) else made


@pytest.mark.parametrize("name", KINDS)
def test_a_leased_result_is_given_back_without_the_work(tmp_path, name):
    """In each kind of call: the same once more, and nothing is done for it."""
    framework = Framework()
    results = []
    for _ in range(3):
        aios_adapters.enable(journal=tmp_path / "j")
        results.append(_call(framework, name))
        aios_adapters.disable()
    assert framework.done == [name]
    assert results[0] == results[1] == results[2]
    assert repr(results[1]) == repr(results[0])


@pytest.mark.parametrize("name", ["ask", "aask", "stream", "astream"])
def test_a_model_s_result_that_cannot_be_kept_is_asked_for_again(tmp_path, name):
    """One warning, no record, and a strict replay says that there is none."""
    framework = Framework()
    framework.result = Opaque()
    for _ in range(2):
        aios_adapters.enable(journal=tmp_path / "j")
        _call(framework, name)
        kernel: Any = aios_adapters.kernel()
        assert kernel.journal.status()["unrecorded"] == 1
        aios_adapters.disable()
    assert len(framework.done) == 2
    aios_adapters.enable(journal=tmp_path / "j", journal_mode="strict")
    with pytest.raises(JournalDivergence):
        _call(framework, name)


@pytest.mark.parametrize("name", ["tool", "atool", "tools", "atools"])
def test_a_tool_whose_result_cannot_be_kept_does_not_act_twice(tmp_path, name):
    """It raises, instead of being answered as a failed tool; declared harmless, it runs again."""
    framework = Framework()
    framework.result = Opaque()
    aios_adapters.enable(journal=tmp_path / "j")
    _call(framework, name)
    aios_adapters.disable()
    aios_adapters.enable(journal=tmp_path / "j")
    with pytest.raises(JournalError, match="not run a second time"):
        _call(framework, name)
    assert len(framework.done) == 1
    aios_adapters.enable(journal_idempotent="t*")
    _call(framework, name)
    assert len(framework.done) == 2


def test_a_tool_that_failed_is_run_again(tmp_path):
    """Mending a tool and running the program again is what a journal is for."""
    broken = [True]

    def run():
        if broken:
            broken.clear()
            raise ValueError("broken")
        return "mended"

    def tool():
        return calls.tool_call("x", lambda: ToolCall(name="t"), run, lambda error: "denied")

    aios_adapters.enable(journal=tmp_path / "j")
    with pytest.raises(ValueError, match="broken"):
        tool()
    aios_adapters.disable()
    aios_adapters.enable(journal=tmp_path / "j")
    assert tool() == "mended"


def test_a_tool_s_answer_names_this_run_s_request(tmp_path):
    """A model numbers its requests anew: a recorded message for the old number would answer a request that nobody made."""

    def tool(number):
        def run():
            return {"tool_call_id": number, "content": f"for {number}"}

        return calls.tool_call("x", lambda: ToolCall(name="t", call_id=number), run, lambda error: "denied")

    aios_adapters.enable(journal=tmp_path / "j")
    assert tool("call_1") == {"tool_call_id": "call_1", "content": "for call_1"}
    aios_adapters.disable()
    aios_adapters.enable(journal=tmp_path / "j")
    assert tool("call_2") == {"tool_call_id": "call_2", "content": "for call_1"}


def _left(done, *, enough, read=1):
    """Read so many pieces of a stream, then leave it; `done` hears where the work was really done."""

    def native():
        done.append("native")
        yield from range(3)

    chat = ChatCall(model="m", stream=True, messages=[{"role": "user", "content": "hi"}])
    items = calls.llm_stream("x", lambda: chat, native, lambda delta: [delta.text], enough=lambda: enough)
    got = list(itertools.islice(items, read))
    items.close()
    return got


@pytest.mark.parametrize("served", [False, True])
def test_a_stream_that_its_reader_always_leaves_is_kept_as_far_as_that(tmp_path, served):
    """Left on purpose it is an answer, of which there is no more than was read; left otherwise it is none."""
    done: list[Any] = []

    def script(call):
        done.append(call)
        return "a b c"

    def enable():
        aios_adapters.disable()
        aios_adapters.enable(journal=tmp_path / "j", llm=ScriptedCore(script) if served else None)

    for enough, recorded in ((False, 0), (True, 1), (True, 0)):
        enable()
        first = _left(done, enough=enough)
        kernel: Any = aios_adapters.kernel()
        assert kernel.journal.counts["recorded"] == recorded
    assert len(done) == 2
    enable()
    with pytest.raises(JournalError, match="left by its reader"):
        _left(done, enough=True, read=2)
    assert first == (["a "] if served else [0])
    assert len(done) == 2


def test_a_result_that_is_written_to_meanwhile():
    """What another thread writes into it, once it was read, is in the record; one that never comes to rest is not kept."""

    class Restless(Event):
        """Written to as it is compared."""

        left = 1

        def __eq__(self, other):
            if Restless.left:
                Restless.left -= 1
                self.text += "!"
            return super().__eq__(other)

        __hash__ = Event.__hash__

    globals()["Restless"] = Restless
    Restless.__qualname__ = "Restless"
    assert decode(encode(Restless("a"))).text == "a!"
    Restless.left = 10
    with pytest.raises(Unplain, match="as it was"):
        encode(Restless("a"))
