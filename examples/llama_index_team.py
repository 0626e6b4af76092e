"""A LlamaIndex workflow of two agents: one looks prices up and adds them, the other writes the offer."""

import asyncio
import os

from llama_index.core.agent.workflow import AgentWorkflow, FunctionAgent, ToolCallResult
from llama_index.core.llms import LLMMetadata
from llama_index.llms.openai import OpenAI

import aios_adapters

aios_adapters.enable()

PRICES = {"apple": 3, "pear": 4}


class Model(OpenAI):
    """The OpenAI class knows the context windows of OpenAI's models only."""

    @property
    def metadata(self) -> LLMMetadata:
        return LLMMetadata(model_name=self.model, is_chat_model=True, is_function_calling_model=True)


def price(item: str) -> int:
    """Look up the price of one item."""
    return PRICES[item]


def total(price: int, count: int) -> int:
    """Multiply a price by a count."""
    return price * count


async def main() -> None:
    llm = Model(
        model=os.environ["OPENAI_MODEL"],
        api_base=os.environ["OPENAI_BASE_URL"],
        api_key=os.environ["OPENAI_API_KEY"],
        max_tokens=200,
    )
    clerk = FunctionAgent(
        name="clerk",
        description="Looks up prices and adds them.",
        system_prompt="Look up the price, compute the total, then hand off to the writer.",
        tools=[price, total],
        llm=llm,
        can_handoff_to=["writer"],
    )
    writer = FunctionAgent(name="writer", description="Writes offers.", system_prompt="Write a short offer.", llm=llm)
    run = AgentWorkflow(agents=[clerk, writer], root_agent="clerk").run(user_msg="Offer me 5 pears.")
    async for event in run.stream_events():
        if isinstance(event, ToolCallResult):
            print(f"{event.tool_name}({event.tool_kwargs}) = {event.tool_output}")
    print(await run)


asyncio.run(main())
