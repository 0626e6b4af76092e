"""Who is calling, and what is remembered: agents, handoffs, many at once, and their sessions."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor

import pytest
from agents import Runner, SQLiteSession

import aios_adapters
from aios_kernel.abi import MemoryCall
from aios_kernel.errors import AccessDenied
from aios_kernel.kernel import Kernel
from tests.adapters.openai_agents.programs import agent, team
from tests.support.columns import ASYNC, DENIAL, IDENTITY, MEMORY

pytestmark = pytest.mark.shows(IDENTITY)


def callers(kernel):
    """What each agent called, by name."""
    rows = [row for row in kernel.status().agents if row["syscalls"]]
    return sorted((row["name"], row["syscalls"].get("llm", 0), row["syscalls"].get("tool", 0)) for row in rows)


async def test_handoffs(endpoint, enabled):
    """After a handoff the other agent calls, in whole and in streamed runs."""
    kernel = enabled()
    await Runner.run(team(endpoint.base_url), "hand over, then weigh")
    assert callers(kernel) == [("alice", 1, 0), ("writer", 2, 1)]
    result = Runner.run_streamed(team(endpoint.base_url), "hand over, then weigh")
    async for _ in result.stream_events():
        pass
    assert callers(kernel) == [("alice", 2, 0), ("writer", 4, 2)]


@pytest.mark.shows(ASYNC)
async def test_at_the_same_time(endpoint, enabled):
    """Twenty runs in one event loop keep their names, and what is around them."""
    kernel = enabled()
    with aios_adapters.agent("mine", group="g"):
        await asyncio.gather(*(Runner.run(agent(endpoint.base_url, f"agent-{n:02}"), "weigh") for n in range(20)))
    assert callers(kernel) == [(f"agent-{n:02}", 2, 1) for n in range(20)]
    assert {row["group"] for row in kernel.status().agents if row["syscalls"]} == {"g"}


def test_in_threads(endpoint, enabled):
    """Runs in threads with loops of their own keep their names."""
    kernel = enabled()
    with ThreadPoolExecutor(4) as pool:
        run = lambda n: asyncio.run(Runner.run(agent(endpoint.base_url, f"agent-{n}"), "weigh"))  # noqa: E731
        list(pool.map(run, range(4)))
    assert callers(kernel) == [(f"agent-{n}", 2, 1) for n in range(4)]


@pytest.fixture
def session():
    made = SQLiteSession("s")
    yield made
    made.close()


@pytest.mark.shows(MEMORY)
async def test_sessions(endpoint, enabled, session):
    """A run's reads and writes of its session are its agent's; direct ones are the caller's, one syscall each."""
    calls = []
    kernel = Kernel(checks=(lambda call, process: calls.append((process.name, call)),))
    enabled(kernel=kernel)
    await Runner.run(agent(endpoint.base_url), "weigh", session=session)
    kept = [(name, call) for name, call in calls if isinstance(call, MemoryCall)]
    assert {name for name, _ in kept} == {"bob"}
    assert {"add", "get"} <= {call.verb for _, call in kept}
    assert {call.arguments["session"] for _, call in kept} == {"s"}
    calls.clear()
    await session.add_items([{"role": "user", "content": "more"}])
    assert (await session.pop_item())["content"] == "more"
    assert len(await session.get_items(limit=2)) == 2
    await session.clear_session()
    assert await session.get_items() == []
    assert [call.verb for _, call in calls] == ["add", "remove", "get", "remove", "get"]
    assert calls[0][1].arguments["items"] == [{"role": "user", "content": "more"}]
    kernel.close()


@pytest.mark.shows(MEMORY, DENIAL)
async def test_a_refused_session(enabled, session):
    """A refused write raises and is not made."""

    def check(call, process):
        if isinstance(call, MemoryCall) and call.verb == "add":
            raise AccessDenied("not yours")

    kernel = Kernel(checks=(check,))
    enabled(kernel=kernel)
    with pytest.raises(AccessDenied, match="not yours"):
        await session.add_items([{"role": "user", "content": "more"}])
    assert await session.get_items() == []
    kernel.close()
