"""The protocol: what crosses to another process arrives equal, in whatever pieces the bytes come."""

from __future__ import annotations

import inspect
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aios_kernel import abi, errors, protocol
from aios_kernel.abi import (
    AccessCall,
    Agent,
    ChatCall,
    CompletionCall,
    Delta,
    EmbeddingCall,
    MemoryCall,
    Reply,
    Sampling,
    StorageCall,
    ToolCall,
    ToolRequest,
    ToolRequestDelta,
    Usage,
)
from aios_kernel.errors import AiosError, CoreError, SyscallError

AGENT = Agent(name="ann", framework="f", group="a/b", priority=3, weight=2.5, policy="las", instance="7")
CALLS = [
    ChatCall(
        agent=AGENT,
        timeout=1.5,
        model="m",
        endpoint="https://api.example/v1",
        stream=True,
        sampling=Sampling(temperature=0.0, top_p=0.5, top_k=4, max_tokens=9, stop=("a", "b"), seed=0, n=2),
        extra={"logit_bias": {"5": -100}},
        messages=[{"role": "user", "content": [{"type": "text", "text": "h\u00e9\ud800"}]}],
        tools=[{"type": "function", "function": {"name": "f"}}],
        tool_choice={"type": "function"},
        response_format={"type": "json_object"},
        parallel_tool_calls=False,
    ),
    CompletionCall(prompt="once", echo=True),
    EmbeddingCall(inputs=["a", [1, 2]], dimensions=3),
    ToolCall(name="t", arguments={"x": [1, None, True]}, call_id="1", code=True),
    MemoryCall(verb="add", arguments={"text": "t"}),
    StorageCall(verb="read", arguments={"path": "p"}),
    AccessCall(action="write", target="t"),
]
text = st.text()
numbers = st.integers(0, 2**40)
usages = st.builds(Usage, input_tokens=numbers, output_tokens=numbers, cached_tokens=numbers)
replies = st.builds(
    Reply,
    text=text,
    tool_calls=st.lists(st.builds(ToolRequest, id=text, name=text, arguments=text)).map(tuple),
    usage=usages,
    model=text,
    vectors=st.lists(st.lists(st.floats(allow_nan=False)).map(tuple)).map(tuple),
)
deltas = st.builds(
    Delta,
    text=text,
    tool_calls=st.lists(
        st.builds(ToolRequestDelta, index=numbers, id=st.none() | text, name=st.none() | text, arguments=text)
    ).map(tuple),
    finish_reason=st.none() | st.sampled_from(["stop", "length"]),
    usage=st.none() | usages,
)


def crossed(value: dict[str, Any]) -> dict[str, Any]:
    """The same, as the other side reads it."""
    (found,) = protocol.Lines().feed(protocol.line(value))
    return found


def test_every_kind_of_call_is_tried() -> None:
    """A new kind of call is not forgotten here."""
    found = (getattr(abi, name) for name in abi.__all__)
    kinds = {one for one in found if inspect.isclass(one) and issubclass(one, abi.Call)} - {abi.Call, abi.LLMCall}
    assert kinds == {type(call) for call in CALLS}


@pytest.mark.parametrize("call", CALLS, ids=lambda call: type(call).__name__)
def test_calls_arrive_equal(call: abi.Call) -> None:
    """Every field, set or not."""
    assert protocol.decode_call(crossed(protocol.encode_call(call))) == call


@given(replies)
def test_replies_arrive_equal(reply: Reply) -> None:
    """Text, tool calls, usage and vectors."""
    assert protocol.decode_reply(crossed(protocol.encode_reply(reply))) == reply


@given(deltas)
def test_pieces_arrive_equal(delta: Delta) -> None:
    """Each piece of a stream."""
    assert protocol.decode_delta(crossed(protocol.encode_delta(delta))) == delta


@given(st.lists(st.dictionaries(text, text), max_size=5), st.data())
def test_lines_come_together_from_any_pieces(messages: list[dict[str, str]], data: st.DataObject) -> None:
    """However the bytes are cut."""
    whole = b"".join(protocol.line(message) for message in messages)
    lines, found = protocol.Lines(), []
    while whole:
        cut = data.draw(st.integers(1, len(whole)))
        found += lines.feed(whole[:cut])
        whole = whole[cut:]
    assert found == messages


@pytest.mark.parametrize("name", errors.__all__)
def test_errors_keep_their_class_and_words(name: str) -> None:
    """Also those that make their message from several arguments, and with the words of their cause."""
    kind = getattr(errors, name)
    error = kind("policy", "fifi", ["fifo"]) if name == "UnknownName" else kind("so it is")
    error.__cause__ = KeyError("inner")
    found = protocol.decode_error(crossed(protocol.encode_error(error)))
    assert type(found) is kind
    assert str(found) == str(error)
    assert "inner" in str(found.__cause__)


def test_others_errors_are_told_by_name() -> None:
    """A class of somebody's becomes the nearest of ours; leaving stays leaving."""

    class Own(SyscallError):
        pass

    for error, kind in ((Own("x"), SyscallError), (KeyError("x"), CoreError)):
        found = protocol.decode_error(crossed(protocol.encode_error(error)))
        assert type(found) is kind
        assert "x" in str(found)
    assert isinstance(protocol.decode_error(crossed(protocol.encode_error(KeyboardInterrupt()))), GeneratorExit)
    assert issubclass(protocol.ProtocolError, AiosError)


@pytest.mark.parametrize(
    "wrong",
    ["", {}, {"type": "Call"}, {"type": "ToolCall"}, {"type": "ChatCall", "agent": {"name": "a", "priority": 0}}],
)
def test_what_is_no_call_is_refused(wrong: Any) -> None:
    """With one class of error, whatever is wrong."""
    with pytest.raises(protocol.ProtocolError):
        protocol.decode_call(wrong)


def test_a_line_without_end_is_refused() -> None:
    """Nobody can have us keep bytes for ever; and what is no object is no message."""
    with pytest.raises(protocol.ProtocolError, match="longer"):
        protocol.Lines(longest=10).feed(b"x" * 11)
    for wrong in (b"[1]\n", b"nonsense\n", b"\xff\n", b"[" * 100_000 + b"\n"):
        with pytest.raises(protocol.ProtocolError, match="no message"):
            protocol.Lines().feed(wrong)


def test_keys_that_are_not_known_are_passed_over() -> None:
    """A newer side may say more."""
    data = {**protocol.encode_call(ToolCall(name="t")), "colour": "blue"}
    assert protocol.decode_call(data) == ToolCall(name="t")


def test_objects_without_a_form_in_json_are_written_plainly() -> None:
    """Sets, odd keys, models of pydantic's kind, and what is inside itself."""

    class Model:
        def model_dump(self, mode: str) -> dict[str, str]:
            return {"mode": mode}

    inside: list[Any] = []
    inside.append(inside)
    found = crossed({"set": {1}, "model": Model(), "object": object, "tuple": (1, 2), "inside": inside, (1, 2): 3})  # type: ignore[dict-item]
    assert found["set"] == [1]
    assert found["model"] == {"mode": "json"}
    assert found["(1, 2)"] == 3
    assert json.dumps(found)
