"""An agent of Microsoft Agent Framework with two functions and another agent as its tools, streaming its answer."""

import asyncio
import os

from agent_framework import Agent, tool
from agent_framework.openai import OpenAIChatCompletionClient

import aios_adapters

aios_adapters.enable()

PRICES = {"apple": 3, "pear": 4}


@tool(approval_mode="never_require")
def price(item: str) -> int:
    """Look up the price of one item."""
    return PRICES[item]


@tool(approval_mode="never_require")
def total(price: int, count: int) -> int:
    """Multiply a price by a count."""
    print(price * count)
    return price * count


async def main() -> None:
    client = OpenAIChatCompletionClient(
        model=os.environ["OPENAI_MODEL"],
        base_url=os.environ["OPENAI_BASE_URL"],
        api_key=os.environ["OPENAI_API_KEY"],
    )
    brief = {"max_tokens": 200}
    writer = Agent(client, name="writer", instructions="Write a short offer.", default_options=brief)
    clerk = Agent(
        client,
        name="clerk",
        default_options=brief,
        instructions="Look up the price, compute the total, let the writer word the offer, and give it.",
        tools=[price, total, writer.as_tool(description="Words an offer.", approval_mode="never_require")],
    )
    stream = clerk.run("Offer me 5 pears.", stream=True)
    async for update in stream:
        print(update.text, end="", flush=True)
    print()


asyncio.run(main())
