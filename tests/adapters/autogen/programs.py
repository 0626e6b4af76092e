"""Programs as users write them with AutoGen 0.7, and what can be compared of two runs of one."""

from __future__ import annotations

import contextlib
import json
import tempfile

from autogen_agentchat.agents import AssistantAgent, CodeExecutorAgent
from autogen_agentchat.conditions import MaxMessageTermination
from autogen_agentchat.teams import RoundRobinGroupChat, SelectorGroupChat
from autogen_agentchat.tools import AgentTool
from autogen_core.models import UserMessage
from autogen_core.tools import BaseStreamTool
from autogen_ext.code_executors.local import LocalCommandLineCodeExecutor
from autogen_ext.models.openai import OpenAIChatCompletionClient
from pydantic import BaseModel

from aios_evals.endpoint import Prompt, Reply, ToolCall
from tests.support.runs import comparer

INFO = {
    "vision": False,
    "function_calling": True,
    "json_output": True,
    "structured_output": True,
    "family": "unknown",
}
CODE = "Run this:\n```sh\necho 6 times 7\n```"


class Weight(BaseModel):
    """A weight."""

    what: str
    grams: int


def weigh(what: str) -> str:
    """Weigh a thing."""
    return f"{what} weighs 450 g"


async def measure(what: str) -> str:
    """Measure a thing."""
    return f"{what} is 8 cm wide"


class Piece(BaseModel):
    """What a streaming tool takes and yields."""

    what: str


class Slices(BaseStreamTool[Piece, Piece, Piece]):
    """A tool that yields its result in pieces."""

    def __init__(self):
        super().__init__(Piece, Piece, "slices", "Slice a thing.")

    async def run(self, args, cancellation_token):
        return Piece(what=f"last of {args.what}")

    async def run_stream(self, args, cancellation_token):
        yield Piece(what=f"last of {args.what}")


def script(prompt: Prompt):
    """Call the tools that a user names, choose a speaker, write code; the rest is the endpoint's default."""
    if "Read the above conversation" in json.dumps(prompt.messages):
        return Reply("bob" if '"alice:' in json.dumps(prompt.messages) else "alice")
    if "write code" in prompt.user_text and not any(m.get("role") == "assistant" for m in prompt.messages):
        return Reply(CODE)
    if prompt.last.get("role") != "user" or not prompt.tools:
        return None
    named = [t["function"]["name"] for t in prompt.tools if t["function"]["name"] in prompt.user_text]
    return [ToolCall(name, _arguments(name, index)) for index, name in enumerate(named)] or None


def _arguments(name: str, index: int) -> dict[str, str]:
    return {"task": "go on"} if name == "inner" else {"what": f"apple {index}"}


@contextlib.asynccontextmanager
async def client(url: str, **info: bool):
    """A client of the endpoint, whose model also has what `info` says."""
    made = OpenAIChatCompletionClient(
        model="sim", base_url=url, api_key="test", model_info={**INFO, **info}, max_retries=0
    )
    try:
        yield made
    finally:
        await made.close()


async def create(llm, **kwargs):
    return await llm.create([UserMessage(content="hello", source="user")], **kwargs)


async def create_stream(llm, **kwargs):
    return [item async for item in llm.create_stream([UserMessage(content="hello", source="user")], **kwargs)]


async def structured(llm):
    return await llm.create([UserMessage(content="7 apples", source="user")], json_output=Weight)


async def agent(llm, task="weigh", **kwargs):
    return await AssistantAgent("alice", model_client=llm, tools=[weigh, measure], **kwargs).run(task=task)


async def agent_stream(llm):
    alice = AssistantAgent("alice", model_client=llm, tools=[weigh, measure], model_client_stream=True)
    return [message async for message in alice.run_stream(task="weigh and measure")]


async def parallel(llm):
    return await agent(llm, "weigh and measure")


async def reflecting(llm):
    return await agent(llm, reflect_on_tool_use=True)


async def looping(llm):
    return await agent(llm, max_tool_iterations=3)


async def nested(llm):
    tool = AgentTool(AssistantAgent("inner", model_client=llm))
    return await AssistantAgent("boss", model_client=llm, tools=[tool]).run(task="ask inner")


async def round_robin(llm):
    agents = [AssistantAgent(name, model_client=llm) for name in ("alice", "bob")]
    return await RoundRobinGroupChat(agents, termination_condition=MaxMessageTermination(3)).run(task="count")


async def selector(llm):
    agents = [AssistantAgent(name, model_client=llm) for name in ("alice", "bob")]
    return await SelectorGroupChat(agents, llm, termination_condition=MaxMessageTermination(3)).run(task="count")


async def coder(llm):
    with tempfile.TemporaryDirectory() as folder:
        executor = LocalCommandLineCodeExecutor(work_dir=folder)
        async with executor:
            agent = CodeExecutorAgent("coder", code_executor=executor, model_client=llm)
            return (await agent.run(task="write code")).messages[-1]


#: name: (program, its LLM calls, its tool calls)
PROGRAMS = {
    "create": (create, 1, 0),
    "create stream": (create_stream, 1, 0),
    "structured": (structured, 1, 0),
    "agent": (agent, 1, 1),
    "agent stream": (agent_stream, 1, 2),
    "parallel tools": (parallel, 1, 2),
    "reflection": (reflecting, 2, 1),
    "loop": (looping, 2, 1),
    "nested": (nested, 2, 1),
    "round robin": (round_robin, 2, 0),
    "selector": (selector, 3, 0),
    "coder": (coder, 2, 1),
}

seen = comparer((r"datetime\.datetime\([^)]*\)", "TIME"), (r"tmp_code_[0-9a-f]+|/tmp/tmp\w+", "FILE"))
