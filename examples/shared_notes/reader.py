"""An AutoGen agent of the group "desk": it finds what the scribe, an agent of another program, has written."""

import asyncio
import os

from autogen_agentchat.agents import AssistantAgent
from autogen_core.models import ModelInfo
from autogen_ext.models.openai import OpenAIChatCompletionClient

import aios_adapters
from aios_kernel.sdk.aio import Client

aios_adapters.enable(kernel=os.environ.get("AIOS_KERNEL", "auto"), memory=True)
desk = Client(aios_adapters.kernel())  # in a tool: as the agent that uses it


async def find(question: str, owner: str) -> str:
    """Search the notes of the desk (owner "group:desk") or of an agent (owner "scribe")."""
    notes = await desk.search_memories(question, 1, owner=owner)
    return "\n".join(f"{note['text']} ({note['agent']}, by {note['framework'] or 'the SDK'})" for note in notes)


async def read(path: str) -> str:
    """Read a file of the desk's."""
    return (await desk.read_file(path, root="group:desk"))["content"]


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
    reader = AssistantAgent("reader", client, tools=[find, read], max_tool_iterations=6)
    async for event in reader.run_stream(task="When does the ferry leave, and where are tickets sold?"):
        if getattr(event, "type", "") == "ToolCallExecutionEvent":
            print(*(f"{result.name}: {result.content}" for result in event.content), sep="\n")
    await client.close()


asyncio.run(main())
