"""An AG2 1.x team: an agent looks prices up and adds them, asks another for the offer, and shows what it does."""

import asyncio
import os

from ag2 import Agent
from ag2.config import OpenAIConfig
from ag2.events import ToolCallEvent
from ag2.stream import MemoryStream

import aios_adapters

aios_adapters.enable()

PRICES = {"apple": 3, "pear": 4}


def price(item: str) -> int:
    """Look up the price of one item."""
    return PRICES[item]


def total(price: int, count: int) -> int:
    """Multiply a price by a count."""
    return price * count


async def main() -> None:
    llm = OpenAIConfig(
        model=os.environ["OPENAI_MODEL"],
        base_url=os.environ["OPENAI_BASE_URL"],
        api_key=os.environ["OPENAI_API_KEY"],
        streaming=True,
        max_tokens=200,
    )
    writer = Agent("writer", prompt="Write a short offer.", config=llm)
    clerk = Agent(
        "clerk",
        prompt="Look up the price, compute the total, then have the writer write the offer.",
        config=llm,
        tools=[price, total, writer.as_tool(description="Write an offer.")],
    )
    stream = MemoryStream()

    @stream.where(ToolCallEvent).subscribe
    async def show(call: ToolCallEvent) -> None:
        print(f"{call.name}({call.arguments})")

    reply = await clerk.ask("Offer me 5 pears.", stream=stream)
    print(reply.body)


asyncio.run(main())
