"""A torch core behind the daemon: what only a real model can show."""

from __future__ import annotations

import threading

import openai
import pytest

from aios_kernel.abi import Agent, ChatCall, Sampling
from aios_kernel.address import Address
from aios_kernel.cores.openai_compatible import OpenAICore
from aios_kernel.cores.torch import TorchCore
from aios_kernel.kernel import Kernel
from aios_kernel.models import DEFAULT, installed
from tests.integrations.server.support import client_of, serving
from tests.kernel.torch.support import core, tokenizer

USER = {"role": "user", "content": "Tell me about the sea in two sentences."}
GO_ON = {"continue_final_message": True, "add_generation_prompt": False}


@pytest.fixture
def tiny(tmp_path):
    kernel = Kernel(llm={"tiny": core()})
    with (
        serving(kernel, Address(path=str(tmp_path / "t.sock")), drain=5) as listening,
        client_of(listening, max_retries=0, timeout=60) as client,
    ):
        yield client


def test_continuing_the_last_message(tiny):
    """The prompt is that of the chat with the text after it; what cannot be continued is a 400."""
    said = {"role": "assistant", "content": " brown fox"}
    ask = tiny.chat.completions.create
    alone = ask(model="tiny", messages=[USER], max_tokens=1).usage.prompt_tokens
    longer = ask(model="tiny", messages=[USER, said], max_tokens=1, extra_body=GO_ON).usage.prompt_tokens
    assert longer == alone + len(tokenizer().encode(" brown fox"))
    with pytest.raises(openai.BadRequestError, match="last message is the assistant's"):
        ask(model="tiny", messages=[USER], extra_body=GO_ON)
    with pytest.raises(openai.BadRequestError, match="add_generation_prompt"):
        ask(model="tiny", messages=[USER, said], extra_body={**GO_ON, "add_generation_prompt": True})


def test_what_the_core_refuses_is_the_requests_fault(tiny):
    """Too long a prompt, a tool that is not there, an image, and a kind of call it has not."""
    ask = tiny.chat.completions.create
    with pytest.raises(openai.BadRequestError) as caught:
        ask(model="tiny", messages=[USER], max_tokens=100_000)
    assert caught.value.code == "context_length_exceeded"
    for wrong in (
        {"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "x"}}]}]},
        {
            "messages": [USER],
            "tools": [{"type": "function", "function": {"name": "f"}}],
            "tool_choice": {"type": "function", "function": {"name": "g"}},
        },
    ):
        with pytest.raises(openai.BadRequestError) as caught:
            ask(model="tiny", **wrong)
        assert caught.value.code == "invalid_call"
    with pytest.raises(openai.BadRequestError, match="does not do embeddings"):
        tiny.embeddings.create(model="tiny", input="a")


@pytest.mark.slow
@pytest.mark.skipif(not installed(DEFAULT), reason=f"{DEFAULT} is not in the cache: `aios models pull`")
@pytest.mark.parametrize("stream", [False, True])
def test_a_cut_reply_continued_is_the_whole_reply(tmp_path, stream):
    """Greedy text of real weights is the same, however often it was cut on its way."""
    kernel = Kernel(llm={"m": TorchCore()})
    with (
        serving(kernel, Address(path=str(tmp_path / "r.sock")), drain=5) as listening,
        client_of(listening, max_retries=0, timeout=120) as client,
    ):

        def ask(messages, length, **more):
            options = {"model": "m", "temperature": 0, "max_tokens": length, "stream": stream, **more}
            reply = client.chat.completions.create(messages=messages, **options)
            if not stream:
                return reply.choices[0].message.content
            return "".join(chunk.choices[0].delta.content or "" for chunk in reply if chunk.choices)

        whole, said = ask([USER], 30), ""
        for _ in range(6):
            said += ask([USER, {"role": "assistant", "content": said}], 5, extra_body=GO_ON)
    assert said == whole


@pytest.mark.slow
@pytest.mark.skipif(not installed(DEFAULT), reason=f"{DEFAULT} is not in the cache: `aios models pull`")
def test_turns_on_an_endpoint_give_the_text_of_one_turn():
    """A second kernel, which switches its calls on this daemon as text, gets what one call alone gets."""
    served = Kernel(llm={"m": TorchCore()})
    with serving(served, Address(host="127.0.0.1", port=0), drain=5) as listening:
        core = OpenAICore(
            listening.base_url, "m", listening.token or "any", max_in_flight=1, continuation="vllm", timeout=120
        )
        kernel, put_down, replies = Kernel(llm=core, policy="rr:quantum=6"), [], {}
        kernel.bus.subscribe(lambda event: put_down.append(event.agent) if event.name == "preempt" else None)

        def ask(name):
            call = ChatCall(
                agent=Agent(name=name),
                messages=({"role": "user", "content": f"Tell me about the {name} in two sentences."},),
                sampling=Sampling(temperature=0.0, max_tokens=40),
            )
            with kernel.syscall(call) as grant:
                return grant.reply().text

        alone = {name: ask(name) for name in ("sea", "moon")}
        assert put_down == []
        threads = [threading.Thread(target=lambda name=name: replies.update({name: ask(name)})) for name in alone]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(240)
        kernel.close()
    assert set(put_down) == {"sea", "moon"}
    assert replies == alone
