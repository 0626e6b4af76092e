"""A reply that is cut and continued is, under greedy decoding, the reply that was never cut."""

from __future__ import annotations

import contextlib
from collections.abc import Generator
from dataclasses import replace
from typing import Any

import pytest

from aios_kernel import ChatCall, Kernel
from aios_kernel.cores.torch import TorchCore
from aios_kernel.errors import CoreError
from aios_kernel.models import DEFAULT, installed
from tests.kernel.torch.support import ask, chat, core, tokenizer

GREEDY = {"temperature": 0}


@contextlib.contextmanager
def kernel_of(made: TorchCore) -> Generator[Kernel, None, None]:
    """A kernel over one core, closed at the end of the block."""
    kernel = Kernel(llm=made)
    yield kernel
    kernel.close()


def continued(call: ChatCall, text: str, max_tokens: int) -> ChatCall:
    """The call that goes on from a text."""
    messages = [*call.messages, {"role": "assistant", "content": text}]
    sampling = replace(call.sampling, max_tokens=max_tokens)
    return replace(call, messages=messages, sampling=sampling, extra={"continue_final_message": True})


def test_the_text_stands_where_it_was_written() -> None:
    """The tokens to go on from are those of the prompt and of the text, with nothing between and nothing lost."""
    made, words = core(), tokenizer()
    call, said = chat("the quick", 1), " brown fox jumps\n "
    prompt = list(made.prepare(call).tokens)
    assert list(made.prepare(continued(call, said, 1)).tokens) == prompt + words.encode(said)
    assert list(made.prepare(continued(call, "", 1)).tokens) == prompt
    made.close()


def test_a_schema_holds_over_the_cut() -> None:
    """The grammar has read what the first part says."""
    schema = {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]}
    form: Any = {
        "type": "json_schema",
        "json_schema": {"name": "s", "schema": {**schema, "additionalProperties": False}},
    }
    with kernel_of(core()) as kernel:
        call = chat("a number", 30, sampling=GREEDY, response_format=form)
        rest = ask(kernel, continued(call, '{"n": 1', 30)).text
        assert rest.lstrip("0123456789") in {"}", ""}
        with pytest.raises(CoreError, match="grammar"):
            ask(kernel, continued(call, "no JSON", 30))


def test_what_cannot_be_continued() -> None:
    """Only the assistant's text can."""
    with kernel_of(core()) as kernel:
        user = replace(chat("hi"), extra={"continue_final_message": True})
        with pytest.raises(CoreError, match="the last message must be the assistant's") as caught:
            ask(kernel, user)
        assert not caught.value.taken


def test_without_a_generation_prompt() -> None:
    """As in vLLM, a chat can end where its last message does."""
    made, words = core(), tokenizer()
    plain = chat("hi", 1)
    with_prompt = words.decode(made.prepare(plain).tokens)
    without = words.decode(made.prepare(replace(plain, extra={"add_generation_prompt": False})).tokens)
    made.close()
    assert with_prompt == without + "<|im_start|>assistant\n"


@pytest.mark.slow
@pytest.mark.skipif(not installed(DEFAULT), reason=f"{DEFAULT} is not in the cache: `aios models pull`")
def test_real_text() -> None:
    """Real weights, cut after every few tokens and continued each time, say what they say at once."""
    with kernel_of(TorchCore()) as kernel:
        call = chat("Tell me about the sea in two sentences.", 40, sampling=GREEDY)
        whole, said = ask(kernel, call), ""
        for _ in range(8):
            said += ask(kernel, continued(call, said, 5)).text  # the first time there is nothing to continue yet
        assert said == whole.text
