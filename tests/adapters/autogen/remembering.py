"""A program whose agents remember: a team with a memory that goes through two tasks."""

from __future__ import annotations

from autogen_agentchat.agents import AssistantAgent
from autogen_agentchat.conditions import MaxMessageTermination
from autogen_agentchat.teams import RoundRobinGroupChat
from autogen_core.memory import ListMemory, MemoryContent, MemoryMimeType

from tests.adapters.autogen.programs import client, weigh

__all__ = ["ASYNC", "seen"]


async def team(url):
    """Two agents, one with a memory and one with a tool, and what they keep in the end."""
    async with client(url, multiple_system_messages=True) as llm:
        memory = ListMemory()
        await memory.add(MemoryContent(content="Ada likes pears", mime_type=MemoryMimeType.TEXT))
        alice = AssistantAgent("alice", llm, memory=[memory])
        bob = AssistantAgent("bob", llm, tools=[weigh])
        together = RoundRobinGroupChat([alice, bob], termination_condition=MaxMessageTermination(4))
        results = [await together.run(task=task) for task in ("weigh", "go on")]
        contexts = [await agent.model_context.get_messages() for agent in (alice, bob)]
        said = [[message.source, message.to_text()] for result in results for message in result.messages]
        return {"said": said, "kept": [[str(message.content) for message in context] for context in contexts]}


def seen(result):
    return result


#: Name -> program, calls of tools.
ASYNC = {"team": (team, 3)}
