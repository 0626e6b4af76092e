"""Programs as users write them with AG2 1.x, and what can be compared of two runs of one."""

from __future__ import annotations

import asyncio
import gc

import openai
from ag2 import Agent
from ag2.config import OpenAIConfig, OpenAIResponsesConfig
from ag2.events import ModelMessageChunk
from ag2.stream import MemoryStream
from pydantic import BaseModel

from aios_evals.endpoint import Prompt, ToolCall


class Weight(BaseModel):
    """A weight."""

    what: str
    grams: int


def weigh(what: str) -> str:
    """Weigh a thing."""
    return f"{what} weighs 450 g"


async def measure(what: str) -> str:
    """Measure a thing."""
    await asyncio.sleep(0)
    return f"{what} is 8 cm wide"


def script(prompt: Prompt):
    """Call the tools that a user names; the rest is the endpoint's default."""
    if any(message.get("role") == "tool" for message in prompt.messages):
        return "all done"
    names = [tool["function"]["name"] for tool in prompt.tools if "function" in tool]
    named = [name for name in names if name in prompt.user_text]
    return [ToolCall(name, _arguments(name, index)) for index, name in enumerate(named)] or (
        "nothing to do" if prompt.tools else None
    )


def _arguments(name: str, index: int) -> dict[str, str]:
    if name == "run_code":
        return {"code": "print(6 * 7)", "language": "python"}
    return {"objective": "go on"} if name.startswith("task_") else {"what": f"apple {index}"}


def config(url: str, **more) -> OpenAIConfig:
    return OpenAIConfig(model="sim", base_url=url, api_key="test", max_retries=0, **more)


def agent(llm, name="alice", **more) -> Agent:
    return Agent(name, prompt="Help.", config=llm, **{"tools": [weigh, measure], **more})


async def ask(url, task="hello"):
    """One question."""
    reply = await agent(config(url)).ask(task)
    return reply.body, reply.response


async def tools(url):
    """Two tools in one turn."""
    return await ask(url, "weigh and measure")


async def streaming(url):
    """A model that streams, and who listens to it."""
    stream, pieces = MemoryStream(), []

    @stream.where(ModelMessageChunk).subscribe
    async def listen(event: ModelMessageChunk) -> None:
        pieces.append(event.content)

    reply = await agent(config(url, streaming=True)).ask("weigh", stream=stream)
    return reply.body, pieces


async def responses(url):
    """OpenAI's other API."""
    llm = OpenAIResponsesConfig(model="sim", base_url=url, api_key="test", max_retries=0)
    return (await agent(llm).ask("weigh")).body


async def structured(url):
    """An answer of a type."""
    reply = await agent(config(url), tools=[]).ask("7 apples", response_schema=Weight)
    return await reply.content()


async def conversation(url):
    """A second question in the same conversation."""
    reply = await agent(config(url)).ask("hello")
    return (await reply.ask("weigh")).body


async def nested(url):
    """An agent as another's tool."""
    inner = agent(config(url), "inner", tools=[])
    boss = agent(config(url), "boss", tools=[inner.as_tool(description="Ask inner.")])
    return (await boss.ask("task_inner")).body


async def together(url):
    """Agents at the same time."""
    return [reply for reply, _ in await asyncio.gather(*(ask(url, "weigh") for _ in range(3)))]


#: name: (program, its LLM calls, its tool calls)
PROGRAMS = {
    "ask": (ask, 1, 0),
    "tools": (tools, 2, 2),
    "streaming": (streaming, 2, 1),
    "responses": (responses, 2, 1),
    "structured": (structured, 1, 0),
    "conversation": (conversation, 3, 1),
    "nested": (nested, 3, 1),
    "together": (together, 6, 3),
}


async def close_clients() -> None:
    """Close every client of the SDK that is left."""
    for client in [one for one in gc.get_objects() if isinstance(one, openai.AsyncOpenAI)]:
        await client.close()
