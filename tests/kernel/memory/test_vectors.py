"""Changing the embedder, embedders that fail, and embedders behind the kernel."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Sequence
from typing import Any

import pytest

from aios_evals.endpoint import Endpoint
from aios_kernel import Kernel
from aios_kernel.abi import Agent, EmbeddingCall, Reply
from aios_kernel.cores.scripted import ScriptedCore
from aios_kernel.embedding import KernelEmbedder, LexicalEmbedder, WrappedEmbedder
from aios_kernel.errors import ConfigError
from aios_kernel.memory import MemoryManager
from aios_kernel.store import MemoryStore
from tests.kernel.memory.conftest import Rig
from tests.support.waiting import wait_until


class Colours:
    """An embedder that knows three colours and their names in two languages; it can be made to fail or to wait."""

    space = "colours"

    def __init__(self) -> None:
        self.broken = False
        self.texts: list[str] = []
        self.go_on = threading.Event()
        self.go_on.set()

    def embed(self, texts: Sequence[str]) -> list[list[float]]:
        assert self.go_on.wait(30)
        if self.broken:
            raise ConnectionError("the endpoint is down")
        self.texts += texts
        return [self.embed_query(text) for text in texts]

    def embed_query(self, text: str) -> list[float]:
        if self.broken:
            raise ConnectionError("the endpoint is down")
        return [
            float(any(word in text for word in pair)) for pair in (("red", "rot"), ("blue", "blau"), ("grey", "grau"))
        ]


def _found(rig: Rig, query: str, **arguments: Any) -> list[str]:
    return [note["text"] for note in rig.do("ann", "retrieve", query=query, mode="vector", **arguments)["notes"]]


def test_another_embedder_embeds_anew(rig: Rig):
    """All notes, of all agents, whatever else is in the store, with progress; then they are found by the new meaning."""
    for at in range(150):
        rig.do("ann" if at % 2 else "bob", "add", text=f"note {at}")
    rig.do("ann", "add", text="a red door")
    told: list[tuple[int, int]] = []
    assert rig.manager.set_embedder(Colours(), lambda done, total: told.append((done, total))) == 151
    assert told[0] == (0, 151)
    assert told[-1] == (151, 151)
    assert len(told) > 3
    assert _found(rig, "rot", k=1) == ["a red door"]
    assert rig.manager.catch_up() == 0


def test_a_kernel_with_another_embedder_embeds_in_the_background(rig: Rig):
    """Calls are served meanwhile: by words at once, by meaning when the vectors are there; versions stay."""
    rig.do("ann", "add", id="a", text="a red door")
    rig.kernel.close()
    embedder, done = Colours(), threading.Event()
    embedder.go_on.clear()
    rig.start(embedder=embedder, progress=lambda at, total: done.set() if at == total else None)
    assert rig.do("ann", "get", id="a")["note"]["version"] == 1
    assert [note["id"] for note in rig.do("ann", "retrieve", query="door")["notes"]] == ["a"]
    assert _found(rig, "rot") == []
    embedder.go_on.set()
    assert done.wait(30)
    assert _found(rig, "rot") == ["a red door"]
    assert rig.do("ann", "get", id="a")["note"]["version"] == 1


def test_an_embedder_that_fails_costs_no_note(rig: Rig, caplog: pytest.LogCaptureFixture):
    """Notes are kept and found by words; when it works again they get their vectors."""
    embedder = Colours()
    rig.start(embedder=embedder)
    embedder.broken = True
    for at in range(3):
        rig.do("ann", "add", text=f"red {at}")
    assert len(rig.do("ann", "retrieve", query="red")["notes"]) == 3
    assert _found(rig, "rot") == []
    assert len([record for record in caplog.records if "words alone" in record.message]) == 1
    embedder.broken = False
    rig.do("ann", "add", text="blue")
    wait_until(lambda: sorted(_found(rig, "rot")) == ["red 0", "red 1", "red 2"])


def test_an_endpoint_s_embeddings():
    """An OpenAI-compatible server embeds through the kernel; each batch is a syscall of the agent whose note it is."""
    with Endpoint() as endpoint:
        kernels: list[Kernel] = []
        manager = MemoryManager(MemoryStore(), embedder=KernelEmbedder(lambda: kernels[0], "text-embedding-3-small"))
        kernels.append(Kernel(managers=[manager], llm=f"openai:{endpoint.base_url}"))
        rig: Any = Rig.__new__(Rig)
        rig.kernel = kernels[0]
        rig.do("ann", "add", text="a red door")
        assert _found(rig, "a red door") == ["a red door"]
        sent = [request for request in endpoint.requests if request.path.endswith("/embeddings")]
        assert len(sent) == 2
        (ann,) = [row for row in kernels[0].status().agents if row["name"] == "ann"]
        assert ann["syscalls"]["embedding"] == 2
        kernels[0].close()


def test_a_lease_cannot_embed():
    """Where the kernel would hand the call back, the embedder says what is missing."""
    with contextlib.closing(Kernel()) as kernel, pytest.raises(ConfigError, match="llm='openai:URL'"):
        KernelEmbedder(lambda: kernel, "m").embed(["x"])


def test_batches_go_through_the_kernel():
    """Many texts are several calls, in order; `dimensions` is part of the space."""
    calls: list[EmbeddingCall] = []

    def answer(call: Any) -> Reply:
        calls.append(call)
        return Reply(vectors=tuple((float(text),) for text in call.inputs))

    with contextlib.closing(Kernel(llm=ScriptedCore(answer))) as kernel:
        embedder = KernelEmbedder(lambda: kernel, "m", dimensions=1)
        assert [v[0] for v in embedder.embed([f"{at}" for at in range(150)])] == [float(at) for at in range(150)]
    assert [len(call.inputs) for call in calls] == [64, 64, 22]
    assert embedder.space == "m/1"


def test_embeddings_of_langchain(rig: Rig):
    """Any object with LangChain's two methods; without a model's name its class is the space."""

    class Own:
        model = "own-1"

        def embed_documents(self, texts: list[str]) -> list[list[float]]:
            return [[1.0, float(len(text))] for text in texts]

        def embed_query(self, text: str) -> list[float]:
            return [1.0, float(len(text))]

    embedder = WrappedEmbedder(Own())
    assert (embedder.space, WrappedEmbedder(Own(), "s").space) == ("Own:own-1", "s")
    rig.start(embedder=embedder)
    rig.do("ann", "add", text="xxxx")
    rig.do("ann", "add", text="x")
    assert _found(rig, "yyyy", k=1) == ["xxxx"]


def test_the_lexical_embedder_is_always_the_same():
    """The same vector in every process and version: a change of it has to change its space."""
    vector = LexicalEmbedder().embed_query("The quick brown foxes, naïvely")
    assert LexicalEmbedder().space == "lexical-1/512"
    assert [(at, round(number, 4)) for at, number in enumerate(vector) if abs(number) > 0.35] == KNOWN
    assert LexicalEmbedder().embed(["", "the"])[0] == [0.0] * 512
    assert sum(number * number for number in vector) == pytest.approx(1.0)


KNOWN = [(27, -0.3897), (364, -0.3897), (435, 0.3897), (493, -0.5116)]


def test_an_agent_is_not_charged_for_what_it_did_not_ask(rig: Rig):
    """Embedding in the background is nobody's call."""
    rig.do("ann", "add", text="x")
    assert [row["name"] for row in rig.kernel.status().agents if row["syscalls"]] == [Agent(name="ann").name]
