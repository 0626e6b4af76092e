"""Who is calling: agents, teams and nested agents, also when they run at the same time."""

from __future__ import annotations

import asyncio

import pytest
from autogen_agentchat.agents import AssistantAgent, BaseChatAgent
from autogen_agentchat.base import Response
from autogen_agentchat.conditions import MaxMessageTermination
from autogen_agentchat.messages import TextMessage
from autogen_agentchat.teams import RoundRobinGroupChat

import aios_adapters
from tests.adapters.autogen.programs import agent_stream, client, create, nested, round_robin, selector
from tests.support.columns import IDENTITY

pytestmark = pytest.mark.shows(IDENTITY)


def callers(kernel, kind="llm"):
    """How many calls each agent made, by name."""
    return sorted((row["name"], row["syscalls"][kind]) for row in kernel.status().agents if kind in row["syscalls"])


async def test_nested(endpoint, enabled):
    """An agent used as a tool is itself, and the tool's use is its user's."""
    kernel = enabled()
    async with client(endpoint.base_url) as llm:
        await nested(llm)
    assert callers(kernel) == [("boss", 1), ("inner", 1)]
    assert callers(kernel, "tool") == [("boss", 1)]


async def test_concurrent_teams(endpoint, enabled):
    """Two teams at a time have agents of the same names: four processes, one call each."""
    kernel = enabled()
    async with client(endpoint.base_url) as llm:
        await asyncio.gather(round_robin(llm), round_robin(llm), agent_stream(llm))
    assert callers(kernel) == [("alice", 1), ("alice", 1), ("alice", 1), ("bob", 1), ("bob", 1)]


async def test_manager(endpoint, enabled):
    """A manager that asks a model for the next speaker is an agent of its own."""
    kernel = enabled()
    async with client(endpoint.base_url) as llm:
        await selector(llm)
    assert [name for name, _ in callers(kernel)] == ["SelectorGroupChatManager", "alice", "bob"]


async def test_custom_agent(endpoint, enabled):
    """An agent class of the program's own is known by its place in the team."""

    class Custom(BaseChatAgent):
        produced_message_types = (TextMessage,)

        async def on_messages(self, messages, cancellation_token):
            reply = await create(self.llm)
            return Response(chat_message=TextMessage(content=reply.content, source=self.name))

        async def on_reset(self, cancellation_token):
            pass

    kernel = enabled()
    async with client(endpoint.base_url) as llm:
        Custom.llm = llm
        team = RoundRobinGroupChat([Custom("carol", "x")], termination_condition=MaxMessageTermination(2))
        await team.run(task="hi")
    assert callers(kernel) == [("carol", 1)]


async def test_explicit_settings_are_inherited(endpoint, enabled):
    """Inside agent(), a framework's agent keeps its name and takes group and priority from around it."""
    kernel = enabled()
    async with client(endpoint.base_url) as llm:
        with aios_adapters.agent("job", group="night", priority=3):
            await AssistantAgent("alice", llm).run(task="hello")
    rows = [row for row in kernel.status().agents if row["syscalls"]]
    assert [(row["name"], row["group"]) for row in rows] == [("alice", "night")]
