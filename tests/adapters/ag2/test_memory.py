"""Memory: histories and knowledge are memory calls, and are kept as before."""

from __future__ import annotations

import pytest
from ag2.knowledge import MemoryKnowledgeStore
from ag2.knowledge.sqlite import SqliteKnowledgeStore
from ag2.stream import MemoryStream

from aios_kernel.abi import MemoryCall
from aios_kernel.kernel import Kernel
from tests.adapters.ag2.programs import agent, config
from tests.support.columns import MEMORY

pytestmark = pytest.mark.shows(MEMORY)


@pytest.fixture
def seen(enabled):
    """Enable with a kernel that notes each memory call and whose it is."""
    calls = []

    def check(call, process):
        if isinstance(call, MemoryCall):
            calls.append((process.name, call.verb, dict(call.arguments)))

    kernel = Kernel(checks=(check,))
    enabled(kernel=kernel)
    yield calls
    kernel.close()


async def test_history(endpoint, seen):
    """What is said is kept event by event and read before each model call, by the agent whose turn it is."""
    stream = MemoryStream()
    await agent(config(endpoint.base_url)).ask("weigh", stream=stream)
    kept = [arguments["event"] for _, verb, arguments in seen if verb == "add"]
    assert [kept.count(kind) for kind in ("ModelRequest", "ModelResponse", "ToolResultsEvent")] == [1, 2, 1]
    assert sum(verb == "get" for _, verb, _ in seen) >= 2
    assert {name for name, _, _ in seen} == {"alice"}
    assert [type(event).__name__ for event in await stream.history.get_events()] == kept


@pytest.mark.parametrize("kind", ["memory", "sqlite"])
async def test_knowledge(kind, seen, tmp_path):
    """A store gives and keeps what it does without the kernel; a method that uses another is one call."""
    store = {
        "memory": MemoryKnowledgeStore,
        "sqlite": lambda: SqliteKnowledgeStore(tmp_path / "store.db"),
    }[kind]()
    await store.write("/notes/a", "hello")
    assert await store.append("/notes/a", " world") is not None
    assert await store.read("/notes/a") == "hello world"
    assert await store.list("/notes") == ["a"]
    await store.delete("/notes/a")
    assert await store.read("/notes/a") is None
    verbs = [(verb, arguments["path"]) for _, verb, arguments in seen]
    path = "/notes/a"
    wanted = [("add", path), ("add", path), ("get", path), ("list", "/notes"), ("remove", path), ("get", path)]
    assert verbs == wanted
