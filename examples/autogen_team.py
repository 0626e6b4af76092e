"""An AutoGen 0.7 team: the clerk looks prices up and adds them with tools, the writer words the offer."""

import asyncio
import os

from autogen_agentchat.agents import AssistantAgent
from autogen_agentchat.conditions import MaxMessageTermination, SourceMatchTermination
from autogen_agentchat.teams import RoundRobinGroupChat
from autogen_core.models import ModelInfo
from autogen_ext.models.openai import OpenAIChatCompletionClient

import aios_adapters

aios_adapters.enable()

PRICES = {"apple": 3, "pear": 4}


async def price(item: str) -> str:
    """Look up the price of one item."""
    return str(next((price for name, price in PRICES.items() if name in item), "not in the list"))


async def total(price: int, count: int) -> int:
    """Multiply a price by a count."""
    return price * count


async def main() -> None:
    client = OpenAIChatCompletionClient(
        model=os.environ["OPENAI_MODEL"],
        base_url=os.environ["OPENAI_BASE_URL"],
        api_key=os.environ["OPENAI_API_KEY"],
        max_tokens=200,
        model_info=ModelInfo(
            vision=False, function_calling=True, json_output=False, structured_output=False, family="unknown"
        ),
    )
    clerk = AssistantAgent(
        "clerk",
        client,
        tools=[price, total],
        max_tool_iterations=5,
        system_message="Look up the price, then compute the total.",
    )
    writer = AssistantAgent("writer", client, system_message="Write a short offer.")
    team = RoundRobinGroupChat(
        [clerk, writer], termination_condition=SourceMatchTermination(["writer"]) | MaxMessageTermination(10)
    )
    async for event in team.run_stream(task="Look up the price of a pear, then the total for 5."):
        if getattr(event, "type", "") == "ToolCallExecutionEvent":
            print(*(f"{result.name}: {result.content}" for result in event.content), sep="\n")
        elif getattr(event, "type", "") == "TextMessage":
            print(f"{event.source}: {event.content}")
    await client.close()


asyncio.run(main())
