"""The other side of `aios demo --compare`: plain `generate` behind one lock; and how the model is got."""

# pyright: reportPrivateUsage=false
from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from aios_kernel import models
from aios_kernel.abi import ChatCall, Reply, Sampling
from aios_kernel.cores import registry
from aios_kernel.errors import CoreError, KernelClosed
from aios_kernel.kernel import Kernel
from tests.support.waiting import wait_until

pytest.importorskip("torch")
pytest.importorskip("transformers")


@pytest.fixture
def core() -> Any:
    """The lock over a tiny random model."""
    from aios_adapters.demo.compare import LockedGenerate
    from tests.kernel.torch import support

    return LockedGenerate(support.model(), support.tokenizer())


def ask(kernel: Kernel, text: str = "hello", **fields: Any) -> Reply:
    sampling = fields.pop("sampling", Sampling(max_tokens=6))
    call = ChatCall(messages=[{"role": "user", "content": text}], sampling=sampling, **fields)
    with kernel.syscall(call) as grant:
        return grant.reply()


def test_it_says_what_the_torch_core_says(core: Any) -> None:
    """The same weights give the same greedy text and the same token counts on both sides of the comparison."""
    from tests.kernel.torch import support

    kernel, other = Kernel(llm=core), Kernel(llm=support.core(constrained=False))
    plain, served = ask(kernel), ask(other)
    kernel.close()
    other.close()
    assert plain.text.strip() == served.text.strip()
    assert plain.usage.input_tokens == served.usage.input_tokens
    assert plain.usage.output_tokens == served.usage.output_tokens == 6


def test_calls_stand_in_line_at_the_lock(core: Any) -> None:
    """Calls made at once are granted at once and then wait for the lock: each wait is noted."""
    kernel = Kernel(llm=core)
    with ThreadPoolExecutor(4) as pool:
        replies = list(pool.map(ask, [kernel] * 4, ["hello", "you", "over", "there"]))
    kernel.close()
    assert len(replies) == len(core.waits) == 4
    assert max(core.waits) > min(core.waits) >= 0


def test_stop_strings_end_the_reply(core: Any) -> None:
    """A reply ends before its stop string."""
    kernel = Kernel(llm=core)
    whole = ask(kernel).text
    stop = whole[len(whole) // 2 :][:2]
    cut = ask(kernel, sampling=Sampling(max_tokens=6, stop=(stop,))).text
    kernel.close()
    assert stop not in cut and whole.startswith(cut)


def test_tool_calls_are_read(core: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the model writes as a tool call reaches the program as one."""

    def written_text(output: Any) -> str:
        return '<tool_call>{"name": "add", "arguments": {"a": 1}}</tool_call>'

    monkeypatch.setattr(core, "_text", written_text)
    kernel = Kernel(llm=core)
    reply = ask(kernel, tools=[{"type": "function", "function": {"name": "add", "parameters": {}}}])
    kernel.close()
    assert [(call.name, call.arguments) for call in reply.tool_calls] == [("add", '{"a": 1}')]
    assert reply.finish_reason == "tool_calls" and reply.text == ""


def test_closing_ends_who_runs_and_who_waits(core: Any) -> None:
    """Ctrl-C closes the core: a generation stops at its next token, those behind it fail, nobody hangs."""
    kernel = Kernel(llm=core)
    long = Sampling(max_tokens=400)
    ended: list[str] = []

    def work() -> None:
        try:
            ask(kernel, sampling=long)
            ended.append("reply")
        except (KernelClosed, CoreError) as error:
            ended.append(type(error).__name__)

    threads = [threading.Thread(target=work) for _ in range(3)]
    for thread in threads:
        thread.start()
    wait_until(lambda: len(core.waits) == 1)
    kernel.close()
    for thread in threads:
        thread.join(20)
    assert len(ended) == 3 and ended.count("KernelClosed") >= 2


def test_a_missing_model_is_downloaded_first(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The demonstration says that it downloads the model, shows the stages on stderr, and goes on."""
    from aios_adapters.cli.models import loaded
    from aios_adapters.demo.live import say

    def pull(name: str, *, progress: Any) -> None:
        assert name == models.DEFAULT
        for done in (0, 50, 100):
            progress("downloading", done, 100)
        progress("converting")

    def missing(name: str) -> bool:
        return False

    monkeypatch.setattr(models, "installed", missing)
    monkeypatch.setattr(models, "pull", pull)
    monkeypatch.setitem(registry.BUILT_IN, "embedded", ("tests.adapters.cli.scripted_model", "make"))
    assert loaded("embedded", say).kind == "scripted"
    said = capsys.readouterr()
    assert said.out == ""
    assert [line.strip() for line in said.err.splitlines()[1:]] == ["downloading", "converting"]
    assert "smollm2-135m-tools" in said.err.splitlines()[0]
