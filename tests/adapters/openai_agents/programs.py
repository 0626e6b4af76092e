"""Programs as users write them with the OpenAI Agents SDK, and what can be compared of two runs of one."""

from __future__ import annotations

from agents import (
    Agent,
    OpenAIChatCompletionsModel,
    OpenAIResponsesModel,
    RunConfig,
    Runner,
    SQLiteSession,
    function_tool,
)
from openai import AsyncOpenAI
from pydantic import BaseModel

from aios_evals.endpoint import Prompt, ToolCall
from tests.support.runs import comparer


class Weight(BaseModel):
    """A weight."""

    what: str
    grams: int


@function_tool
def weigh(what: str) -> str:
    """Weigh a thing."""
    return f"{what} weighs 450 g"


@function_tool
async def measure(what: str) -> str:
    """Measure a thing."""
    return f"{what} is 8 cm wide"


@function_tool
def fail(what: str) -> str:
    """Fail."""
    raise ZeroDivisionError(what)


def script(prompt: Prompt):
    """Call the tools that a user names, hand over first where that is asked, then answer."""
    names = [tool["function"]["name"] for tool in prompt.tools]
    said = str(prompt.last.get("content"))
    handed_over = "assistant" in said and "writer" in said
    if prompt.last.get("role") == "tool" and not handed_over:
        return "It is done."
    if not handed_over and "transfer_to_writer" in names and "hand over" in prompt.user_text:
        return ToolCall("transfer_to_writer", {})
    named = [name for name in names if name in prompt.user_text]
    if names and not named:
        return "no tool"
    asked = {tool["function"]["name"]: tool["function"]["parameters"]["properties"] for tool in prompt.tools}
    return [ToolCall(name, dict.fromkeys(asked[name], f"apple {n}")) for n, name in enumerate(named)] or None


def model(url: str, kind=OpenAIChatCompletionsModel, **kwargs):
    client = AsyncOpenAI(base_url=url, api_key="test", max_retries=kwargs.pop("max_retries", 0))
    return kind(model="sim", openai_client=client)


def agent(url: str, name: str = "bob", tools=(weigh,), kind=OpenAIChatCompletionsModel, **kwargs) -> Agent:
    return Agent(name=name, instructions="Be brief.", tools=list(tools), model=model(url, kind), **kwargs)


def team(url: str, first: str = "alice") -> Agent:
    return agent(url, first, handoffs=[agent(url, "writer")])


def shown(result) -> tuple:
    return [repr(item.raw_item) for item in result.new_items], repr(result.final_output), repr(result.raw_responses)


async def _run(agent, text, **kwargs):
    return shown(await Runner.run(agent, text, **kwargs))


async def _streamed(agent, text, **kwargs):
    result = Runner.run_streamed(agent, text, **kwargs)
    events = [repr(getattr(event, "data", getattr(event, "name", ""))) async for event in result.stream_events()]
    return events, shown(result)


async def _session(url):
    session = SQLiteSession("s")
    try:
        first = await _run(agent(url), "weigh", session=session)
        second = await _run(agent(url), "hello", session=session)
        return first, second, await session.get_items()
    finally:
        session.close()


Responses = OpenAIResponsesModel
#: name: (program, its LLM calls, its tool calls)
ASYNC = {
    "hello": (lambda url: _run(agent(url, tools=()), "hello"), 1, 0),
    "tool": (lambda url: _run(agent(url), "weigh"), 2, 1),
    "parallel tools": (lambda url: _run(agent(url, tools=(weigh, measure)), "weigh and measure"), 2, 2),
    "failing tool": (lambda url: _run(agent(url, tools=(fail,)), "fail"), 2, 1),
    "streamed": (lambda url: _streamed(agent(url), "weigh"), 2, 1),
    "responses": (lambda url: _run(agent(url, kind=Responses), "weigh"), 2, 1),
    "responses streamed": (lambda url: _streamed(agent(url, kind=Responses), "weigh"), 2, 1),
    "structured": (lambda url: _run(agent(url, tools=(), output_type=Weight), "7 apples"), 1, 0),
    "handoff": (lambda url: _run(team(url), "hand over, then weigh"), 3, 1),
    "handoff streamed": (lambda url: _streamed(team(url), "hand over, then weigh"), 3, 1),
    "session": (_session, 3, 1),
    "no tracing": (lambda url: _run(agent(url), "weigh", run_config=RunConfig(tracing_disabled=True)), 2, 1),
}

seen = comparer((r"(created|completed)(_at)?['\"]?[:=] ?[\d.]+", "VARIES"))
