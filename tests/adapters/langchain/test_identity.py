"""Who is calling: named agents, nodes, threads of a conversation, nested agents and many at the same time."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor

import pytest
from langchain.agents import create_agent
from langchain_core.tools import tool
from langgraph.graph import END, START, MessagesState, StateGraph

import aios_adapters
from tests.adapters.langchain.programs import ask, model, react, weigh, workflow
from tests.support.columns import IDENTITY

pytestmark = pytest.mark.shows(IDENTITY)


def callers(kernel):
    """What each agent called, by name."""
    rows = [row for row in kernel.status().agents if row["syscalls"]]
    return sorted((row["name"], row["syscalls"].get("llm", 0), row["syscalls"].get("tool", 0)) for row in rows)


def named(url, name):
    return create_agent(model(url), [weigh], name=name)


@pytest.mark.parametrize("make", [named, react])
async def test_named_agents(make, endpoint, enabled):
    """A name given to an agent is the agent's, in every way to run it, for its models and its tools."""
    kernel, agent = enabled(), make(endpoint.base_url, "bob")
    agent.invoke(ask("weigh"))
    await agent.ainvoke(ask("weigh"))
    list(agent.stream(ask("weigh"), stream_mode="messages"))
    assert [part async for part in agent.astream(ask("weigh"))]
    assert callers(kernel) == [("bob", 8, 4)]


async def test_nodes(endpoint, enabled):
    """The nodes of a graph without a name are its agents; the steps of an agent without a name are one."""
    kernel = enabled()
    await workflow(endpoint.base_url).ainvoke(ask("hello"))
    assert callers(kernel) == [("researcher", 1, 0), ("writer", 1, 0)]
    create_agent(model(endpoint.base_url), [weigh]).invoke(ask("weigh"))
    assert callers(kernel) == [("LangGraph", 2, 1), ("researcher", 1, 0), ("writer", 1, 0)]


@pytest.mark.parametrize("make", [named, react])
def test_agents_as_nodes(make, endpoint, enabled):
    """An agent inside a graph goes by its own name, else by its node's."""
    graph = StateGraph(MessagesState)
    graph.add_node("first", make(endpoint.base_url, "bob"))
    graph.add_node("second", make(endpoint.base_url, None))
    graph.add_edge(START, "first")
    graph.add_edge("first", "second")
    graph.add_edge("second", END)
    kernel = enabled()
    graph.compile().invoke(ask("hello"))
    assert callers(kernel) == [("bob", 1, 0), ("second", 1, 0)]


async def test_nested(endpoint, enabled):
    """An agent inside another's tool is itself; the tool's use is its user's."""
    inner = react(endpoint.base_url, "inner")

    @tool("measure")
    async def helper(what: str) -> str:
        """Measure."""
        return (await inner.ainvoke(ask("weigh")))["messages"][-1].text

    kernel = enabled()
    await create_agent(model(endpoint.base_url), [helper], name="boss").ainvoke(ask("measure"))
    assert callers(kernel) == [("boss", 2, 1), ("inner", 2, 1)]


async def test_at_the_same_time(endpoint, enabled):
    """Agents that run together in one loop or in threads keep their calls apart."""
    kernel = enabled()
    agents = [named(endpoint.base_url, f"a{i}") for i in range(3)] + [
        react(endpoint.base_url, f"r{i}") for i in range(3)
    ]
    await asyncio.gather(*(agent.ainvoke(ask("weigh")) for agent in agents))
    with ThreadPoolExecutor() as pool:
        list(pool.map(lambda agent: agent.invoke(ask("weigh")), agents))
    assert callers(kernel) == [(name, 4, 2) for name in ("a0", "a1", "a2", "r0", "r1", "r2")]


def test_conversations(endpoint, enabled):
    """Threads of conversation are instances of one agent."""
    kernel, agent = enabled(), react(endpoint.base_url, "bob")
    for thread in ("1", "2", "1"):
        agent.invoke(ask("hello"), {"configurable": {"thread_id": thread}})
    assert callers(kernel) == [("bob", 1, 0), ("bob", 2, 0)]


def test_stream_does_not_leak(endpoint, enabled):
    """Between the parts of an agent's stream, the reader's own calls are not the agent's."""
    kernel, agent = enabled(), named(endpoint.base_url, "bob")
    for _ in agent.stream(ask("hello"), stream_mode="updates"):
        model(endpoint.base_url).invoke("mine")
    assert callers(kernel) == [("bob", 1, 0), ("root", 1, 0)]


def test_explicit_agents(endpoint, enabled):
    """agent() goes over what the framework finds, and its settings reach agents that have a name of their own."""
    kernel = enabled()
    with aios_adapters.agent("job", group="night"):
        model(endpoint.base_url).invoke("x")
        named(endpoint.base_url, "bob").invoke(ask("hello"))
    rows = [row for row in kernel.status().agents if row["syscalls"]]
    assert sorted((row["name"], row["group"]) for row in rows) == [("bob", "night"), ("job", "night")]
