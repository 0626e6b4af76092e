"""The model that comes with the kernel, where the cache has it: real weights, real chat template, real tool calls."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from aios_kernel import Kernel
from aios_kernel.cores.torch import TorchCore
from aios_kernel.models import DEFAULT, installed
from tests.kernel.torch.support import ask, chat, together

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not installed(DEFAULT), reason=f"{DEFAULT} is not in the cache: `aios models pull`"),
]

CALCULATOR = {
    "type": "function",
    "function": {
        "name": "calculator",
        "description": "Evaluate a math expression.",
        "parameters": {"type": "object", "properties": {"expression": {"type": "string"}}, "required": ["expression"]},
    },
}


@pytest.fixture(scope="module")
def kernel() -> Iterator[Kernel]:
    """A kernel over the default core."""
    made = Kernel(llm=TorchCore())
    yield made
    made.close()


def test_it_answers(kernel: Kernel) -> None:
    """A plain question asked among others gets its own sensible answer."""
    questions = ("Say hello.", "What is the capital of France?", "Name three colours.")
    replies = together(kernel, [chat(question, 24, sampling={"temperature": 0}) for question in questions])
    assert "Paris" in replies[1].text
    assert all(reply.text for reply in replies)


def test_it_calls_a_tool(kernel: Kernel) -> None:
    """Asked to calculate, it calls the calculator, with arguments that are JSON of the schema."""
    reply = ask(kernel, chat("What is 37 times 42?", 60, tools=[CALCULATOR], sampling={"temperature": 0}))
    (call,) = reply.tool_calls
    assert (call.name, reply.finish_reason, reply.text) == ("calculator", "tool_calls", "")
    assert set(json.loads(call.arguments)) == {"expression"}


def test_it_follows_a_schema(kernel: Kernel) -> None:
    """A response format holds for real weights too."""
    schema = {
        "type": "object",
        "properties": {"age": {"type": "integer"}},
        "required": ["age"],
        "additionalProperties": False,
    }
    wanted = {"type": "json_schema", "json_schema": {"name": "person", "schema": schema}}
    reply = ask(kernel, chat("Bob is five years old.", 30, response_format=wanted, sampling={"temperature": 0}))
    assert isinstance(json.loads(reply.text)["age"], int)
