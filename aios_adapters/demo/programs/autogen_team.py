"""An AutoGen 0.7 team: a round-robin group chat of one assistant with tools, over when the assistant has answered."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

from autogen_agentchat.agents import AssistantAgent
from autogen_agentchat.conditions import MaxMessageTermination, SourceMatchTermination
from autogen_agentchat.teams import RoundRobinGroupChat
from autogen_core.models import ModelInfo
from autogen_ext.models.openai import OpenAIChatCompletionClient

MODEL_INFO = ModelInfo(
    vision=False, function_calling=True, json_output=False, structured_output=False, family="unknown"
)


def run(question: str, tools: Sequence[Callable[..., str]], *, model: str) -> str:
    """Answer one question with these tools."""
    return asyncio.run(_run(question, tools, model))


async def _run(question: str, tools: Sequence[Callable[..., str]], model: str) -> str:
    client = OpenAIChatCompletionClient(
        model=model, base_url="http://127.0.0.1:9/v1", api_key="not-needed", temperature=0, model_info=MODEL_INFO
    )
    worker = AssistantAgent("worker", client, tools=list(tools), max_tool_iterations=4, system_message="")
    team = RoundRobinGroupChat(
        [worker], termination_condition=SourceMatchTermination(["worker"]) | MaxMessageTermination(12)
    )
    try:
        result = await team.run(task=question)
    finally:
        await client.close()
    return result.messages[-1].to_text()
