"""The encoder core: a tiny random BERT for the core's own behaviour, all-MiniLM-L6-v2 for the vectors."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("torch", reason="torch is not installed")
pytest.importorskip("transformers", reason="transformers is not installed")

import torch
import transformers

from aios_kernel import Agent, ChatCall, CoreError, EmbeddingCall, Kernel, models
from aios_kernel.cores.registry import core as make_core
from aios_kernel.cores.torch import EncoderCore
from aios_kernel.embedding import KernelEmbedder, MiniLMEmbedder
from aios_kernel.errors import KernelClosed, ModelLoadError, SyscallError, UnknownName
from aios_kernel.managers.standard import standard_managers
from aios_kernel.sdk import Client
from tests.support.waiting import PATIENCE, wait_until

WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *"abcdefgh", "one", "two", "three"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model of two small layers with random weights."""
    path = tmp_path_factory.mktemp("bert")
    (path / "vocab.txt").write_text("\n".join(WORDS))
    torch.manual_seed(0)
    config = transformers.BertConfig(
        vocab_size=len(WORDS), hidden_size=16, num_hidden_layers=2, num_attention_heads=2, intermediate_size=32,
        max_position_embeddings=32,
    )  # fmt: skip
    transformers.BertModel(config).save_pretrained(path)
    tokenizer: Any = transformers  # typed only in part
    tokenizer.BertTokenizerFast(vocab_file=str(path / "vocab.txt")).save_pretrained(path)
    return path


@pytest.fixture
def served(folder: Path) -> Iterator[tuple[Kernel, EncoderCore]]:
    core = EncoderCore(folder, name="e")
    with contextlib.closing(Kernel(llm={"e": core})) as kernel:
        yield kernel, core


def embed(kernel: Kernel, *inputs: Any, agent: str = "ann", **options: Any) -> Any:
    with kernel.syscall(EmbeddingCall(model="e", inputs=inputs, agent=Agent(name=agent), **options)) as grant:
        assert not grant.lease
        return grant.reply()


def close(left: Any, right: Any) -> bool:
    return torch.allclose(torch.tensor(left), torch.tensor(right), atol=1e-5)


def test_vectors_are_those_of_the_model_alone(served: tuple[Kernel, EncoderCore]) -> None:
    """Each text has the vector that it has by itself, in the order of the call, of length 1; tokens are counted."""
    kernel, core = served
    texts = ["one", "two three a b c d", "a", "", "h " * 50]
    reply = embed(kernel, *texts)
    assert all(
        close(vector, core.encoder.encode([text])[0][0]) for vector, text in zip(reply.vectors, texts, strict=True)
    )
    assert all(abs(sum(x * x for x in vector) - 1) < 1e-4 for vector in reply.vectors)
    assert reply.usage.input_tokens == 3 + 8 + 3 + 2 + 32  # with the two marks of each; the last is cut
    assert kernel.processes.root.usage.input_tokens == 0
    assert next(p for p in kernel.processes if p.name == "ann").usage == reply.usage


def test_callers_share_batches(served: tuple[Kernel, EncoderCore], monkeypatch: pytest.MonkeyPatch) -> None:
    """A long call does not hold up short ones: what waits at the same time goes through the model together."""
    kernel, core = served
    core.load()
    native, sizes, go = core.encoder.encode, [], threading.Event()

    def encode(texts: list[str]) -> Any:
        sizes.append(len(texts))
        go.wait(PATIENCE)
        return native(texts)

    monkeypatch.setattr(core.encoder, "encode", encode)
    ended: list[str] = []

    def call(name: str, count: int) -> Any:
        reply = embed(kernel, *(["one"] * count), agent=name)
        ended.append(name)
        return reply

    with ThreadPoolExecutor(8) as pool:
        first = pool.submit(call, "long", 200)
        wait_until(lambda: sizes)
        others = [pool.submit(call, f"short {number}", 2) for number in range(6)]
        wait_until(lambda: len(core._waiting) == 7)
        go.set()
        assert len(first.result(PATIENCE).vectors) == 200
        assert [len(other.result(PATIENCE).vectors) for other in others] == [2] * 6
    assert ended[-1] == "long"
    assert max(sizes) <= 32
    assert sizes[1] > 12  # the six together, and some of the long one
    assert core.status()["texts"] == 212


def test_what_cannot_be_done_fails_one_call(
    served: tuple[Kernel, EncoderCore], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Numbers of tokens, another length of vectors, a text that breaks the model: each its own caller's error."""
    kernel, core = served
    with pytest.raises(CoreError, match="takes texts"):
        embed(kernel, [1, 2])
    with pytest.raises(CoreError, match="have 16 numbers, not 8"):
        embed(kernel, "one", dimensions=8)
    assert embed(kernel, "one", dimensions=16).vectors
    assert embed(kernel).vectors == ()
    native, go = core.encoder.encode, threading.Event()

    def encode(texts: list[str]) -> Any:
        go.wait(PATIENCE)
        if "bad" in texts:
            raise ValueError("bad text")
        return native(texts)

    monkeypatch.setattr(core.encoder, "encode", encode)
    with ThreadPoolExecutor(3) as pool:
        calls = [pool.submit(embed, kernel, text) for text in ("one", "bad", "two")]
        wait_until(lambda: len(core._waiting) == 3)
        go.set()
        assert calls[0].result(PATIENCE).vectors
        assert calls[2].result(PATIENCE).vectors
        with pytest.raises(CoreError, match="bad text"):
            calls[1].result(PATIENCE)


async def test_in_an_event_loop_and_cancelled(served: tuple[Kernel, EncoderCore]) -> None:
    """A call that is given up gives its place back."""
    kernel, core = served
    core.load()
    with core.encoder._working:

        async def ask(number: int) -> Any:
            async with kernel.syscall(EmbeddingCall(model="e", inputs=[f"{number}"])) as grant:
                return await grant.areply()

        tasks = [asyncio.create_task(ask(number)) for number in range(4)]
        await asyncio.to_thread(wait_until, lambda: len(core._waiting) == 4)
        tasks[3].cancel()
        await asyncio.wait({tasks[3]})
    assert [len((await task).vectors) for task in tasks[:3]] == [1, 1, 1]
    await asyncio.to_thread(wait_until, lambda: kernel.status().resources[0]["running"] == 0)


def test_closing_ends_what_waits(folder: Path) -> None:
    """Nobody is left asleep, whatever the model is doing."""
    core = EncoderCore(folder, name="e")
    kernel = Kernel(llm={"e": core})
    core.load()
    with ThreadPoolExecutor(3) as pool:
        with core.encoder._working:
            calls = [pool.submit(embed, kernel, "one") for _ in range(3)]
            wait_until(lambda: len(core._waiting) == 3)
            kernel.close()
        for call in calls:
            with pytest.raises(KernelClosed):
                call.result(PATIENCE)


def test_it_serves_embeddings_only(served: tuple[Kernel, EncoderCore]) -> None:
    """Chats of the model's name go elsewhere, as for every core that cannot answer them."""
    kernel, core = served
    assert core.operations == {"embedding"}
    with kernel.syscall(ChatCall(model="e")) as grant:
        assert grant.lease


def test_a_model_that_is_none(tmp_path: Path) -> None:
    """An error that names the model, in the caller; the core's name comes from what was asked for."""
    core = make_core(f"encoder:{tmp_path}")
    assert core.name == f"encoder:{tmp_path}"
    with contextlib.closing(Kernel(llm={"e": core})) as kernel, pytest.raises(ModelLoadError, match=str(tmp_path)):
        embed(kernel, "one")


@pytest.mark.skipif(not models.installed("all-minilm-l6-v2"), reason="aios models pull all-minilm-l6-v2")
def test_the_real_model_served_to_a_memory() -> None:
    """Through the kernel it gives what it gives alone, and each batch is a syscall of the agent that remembers."""
    kernel = Kernel(llm={"all-minilm-l6-v2": "encoder:all-minilm-l6-v2"})
    with contextlib.closing(kernel):
        texts = ["a cat sat on the mat", "the stock market fell", "a kitten lay on the rug"]
        served = KernelEmbedder(lambda: kernel, "all-minilm-l6-v2").embed(texts)
        assert all(close(one, other) for one, other in zip(served, MiniLMEmbedder().embed(texts), strict=True))
        cat, market, kitten = (torch.tensor(vector) for vector in served)
        assert float(cat @ kitten) > 0.4 > float(cat @ market)
        assert kernel.status().syscalls == {"embedding": 1}


def test_a_memory_embeds_with_a_model_that_the_kernel_serves(folder: Path, tmp_path: Path) -> None:
    """By its name; each batch is a syscall of the agent that remembers. A name that does not exist is told at once."""
    managers = standard_managers(tmp_path, embedder="kernel:e")
    with contextlib.closing(Kernel(llm={"e": EncoderCore(folder, name="e")}, managers=managers)) as kernel:
        memory = Client(kernel, "ann")
        memory.create_memory("one two three")
        assert memory.search_memories("one two three", k=1)[0]["text"] == "one two three"
        assert next(p for p in kernel.processes if p.name == "ann").syscalls == {"memory": 2, "embedding": 2}
    with pytest.raises(UnknownName, match="lexical, minilm"):
        standard_managers(tmp_path, embedder="bert")


def test_errors_are_syscall_errors() -> None:
    """So that adapters turn them into their frameworks' own."""
    assert issubclass(ModelLoadError, SyscallError)
