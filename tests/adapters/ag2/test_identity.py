"""Who is calling: agents, nested agents, and agents at the same time."""

from __future__ import annotations

import asyncio

import pytest

import aios_adapters
from aios_kernel.identity import current_agent
from tests.adapters.ag2.programs import PROGRAMS, agent, config, together
from tests.support.columns import IDENTITY

pytestmark = pytest.mark.shows(IDENTITY)


def callers(kernel, kind="llm"):
    """How many calls each agent made, by name."""
    return sorted((row["name"], row["syscalls"][kind]) for row in kernel.status().agents if kind in row["syscalls"])


async def test_nested(endpoint, enabled):
    """An agent used as a tool is itself, and the tool's use is its user's."""
    kernel = enabled()
    await PROGRAMS["nested"][0](endpoint.base_url)
    assert callers(kernel) == [("boss", 2), ("inner", 1)]
    assert callers(kernel, "tool") == [("boss", 1)]


async def test_agents_of_one_name(endpoint, enabled):
    """Three agents of one name at the same time are three."""
    kernel = enabled()
    await together(endpoint.base_url)
    assert callers(kernel) == [("alice", 2)] * 3


async def test_one_object_is_one_agent(endpoint, enabled):
    """An agent that is asked by itself and as another's tool stays one process, also for several questions at once."""
    kernel = enabled()
    llm = config(endpoint.base_url)
    inner = agent(llm, "inner", tools=[])
    boss = agent(llm, "boss", tools=[inner.as_tool(description="Ask inner.")])
    await asyncio.gather(inner.ask("hello"), inner.ask("hello"), boss.ask("task_inner"))
    assert callers(kernel) == [("boss", 2), ("inner", 3)]


async def test_a_run_and_its_watcher(endpoint, enabled):
    """Inside an open run the program is who it was; the turn is its agent's."""
    kernel = enabled()
    with aios_adapters.agent("job", group="night"):
        async with agent(config(endpoint.base_url)).run("weigh") as run:
            assert current_agent.get().name == "job"
            await run.result()
        assert current_agent.get().name == "job"
    rows = [row for row in kernel.status().agents if "llm" in row["syscalls"]]
    assert [(row["name"], row["group"], row["syscalls"]["llm"]) for row in rows] == [("alice", "night", 2)]
