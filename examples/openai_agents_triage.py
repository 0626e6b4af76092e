"""Two agents of the OpenAI Agents SDK with a session: the clerk looks prices up and hands over to the writer."""

import asyncio
import os

from agents import Agent, ModelSettings, OpenAIChatCompletionsModel, Runner, SQLiteSession, function_tool
from openai import AsyncOpenAI

import aios_adapters

aios_adapters.enable()

PRICES = {"apple": 3, "pear": 4}


@function_tool
def price(item: str) -> int:
    """Look up the price of one item."""
    return PRICES[item]


@function_tool
def total(price: int, count: int) -> int:
    """Multiply a price by a count."""
    return price * count


async def main() -> None:
    client = AsyncOpenAI(base_url=os.environ["OPENAI_BASE_URL"], api_key=os.environ["OPENAI_API_KEY"])
    model = OpenAIChatCompletionsModel(model=os.environ["OPENAI_MODEL"], openai_client=client)
    settings = ModelSettings(max_tokens=200)
    writer = Agent(name="writer", instructions="Write a short offer.", model=model, model_settings=settings)
    clerk = Agent(
        name="clerk",
        instructions="Look up the price, compute the total, then hand over to the writer.",
        tools=[price, total],
        handoffs=[writer],
        model=model,
        model_settings=settings,
    )
    session = SQLiteSession("offers")
    result = await Runner.run(clerk, "Offer me 5 pears.", session=session)
    for item in result.new_items:
        if item.type == "tool_call_output_item":
            print(f"{item.agent.name}: {item.output}")
    print(result.final_output)
    print(f"{len(await session.get_items())} items remembered")
    session.close()


asyncio.run(main())
