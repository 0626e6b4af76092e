"""Who is calling: named agents, workflows of agents, nested agents and many at the same time."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor

import pytest

import aios_adapters
from tests.adapters.llama_index.programs import agent, coder, message, model, react, team
from tests.support.columns import ASYNC, IDENTITY

pytestmark = pytest.mark.shows(IDENTITY)


def callers(kernel):
    """What each agent called, by name."""
    rows = [row for row in kernel.status().agents if row["syscalls"]]
    return sorted((row["name"], row["syscalls"].get("llm", 0), row["syscalls"].get("tool", 0)) for row in rows)


async def test_every_kind_of_agent(endpoint, enabled):
    """An agent's name is that of all it calls: its models, tools, code and memory."""
    kernel = enabled()
    await agent(endpoint.base_url, "bob").run("weigh")
    await react(endpoint.base_url, "carl").run("weigh")
    await coder(endpoint.base_url).run("code")
    assert callers(kernel) == [("bob", 2, 1), ("carl", 2, 1), ("coder", 2, 1)]


async def test_teams(endpoint, enabled):
    """In a workflow of agents each is itself; two workflows with an alice have two."""
    kernel = enabled()
    await team(endpoint.base_url).run("hand over, then weigh")
    assert callers(kernel) == [("alice", 1, 0), ("writer", 2, 1)]
    await asyncio.gather(*(team(endpoint.base_url).run("hand over, then weigh") for _ in range(3)))
    assert callers(kernel) == [("alice", 1, 0)] * 4 + [("writer", 2, 1)] * 4


@pytest.mark.shows(ASYNC)
async def test_at_the_same_time(endpoint, enabled):
    """Twenty agents in one event loop keep their names."""
    kernel = enabled()
    await asyncio.gather(*(agent(endpoint.base_url, f"agent-{n:02}").run("weigh") for n in range(20)))
    assert callers(kernel) == [(f"agent-{n:02}", 2, 1) for n in range(20)]


def test_in_threads(endpoint, enabled):
    """Agents in threads with loops of their own keep their names, and what is around them."""
    kernel = enabled()

    async def run(name):
        return await agent(endpoint.base_url, name).run("weigh")

    with aios_adapters.agent("mine", group="g", priority=3), ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda n: asyncio.run(run(f"agent-{n}")), range(4)))
    assert callers(kernel) == [(f"agent-{n}", 2, 1) for n in range(4)]
    assert {row["group"] for row in kernel.status().agents if row["syscalls"]} == {"g"}


async def test_around_and_after(endpoint, enabled):
    """Between and after runs, the caller is whoever it was before."""
    kernel = enabled()
    with aios_adapters.agent("mine"):
        handler = agent(endpoint.base_url, "bob").run("weigh")
        async for _ in handler.stream_events():
            pass
        await handler
        await model(endpoint.base_url).achat(message("hello"))
    assert callers(kernel) == [("bob", 2, 1), ("mine", 1, 0)]
