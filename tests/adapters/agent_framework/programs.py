"""Programs as users write them with Microsoft Agent Framework, and what can be compared of two runs of one."""

from __future__ import annotations

from agent_framework import Agent, tool
from agent_framework.openai import OpenAIChatClient, OpenAIChatCompletionClient

from aios_evals.endpoint import Prompt, ToolCall
from tests.support.runs import comparer


@tool(approval_mode="never_require")
def weigh(what: str) -> str:
    """Weigh a thing."""
    return f"{what} weighs 450 g"


@tool(approval_mode="never_require")
async def measure(what: str) -> str:
    """Measure a thing."""
    return f"{what} is 8 cm wide"


@tool(approval_mode="never_require")
def fail(what: str) -> str:
    """Fail."""
    raise ZeroDivisionError(what)


def script(prompt: Prompt):
    """Call the tools that a user names, then answer."""
    if prompt.last.get("role") == "tool":
        return "It is done."
    asked = {tool["function"]["name"]: tool["function"]["parameters"]["properties"] for tool in prompt.tools}
    named = [name for name in asked if name in prompt.user_text]
    if asked and not named:
        return "no tool"
    return [ToolCall(name, dict.fromkeys(asked[name], f"apple {n}")) for n, name in enumerate(named)] or None


def client(url: str, kind=OpenAIChatCompletionClient):
    return kind(model="sim", base_url=url, api_key="test")


def agent(url: str, name: str | None = "bob", tools=(weigh,), kind=OpenAIChatCompletionClient) -> Agent:
    return Agent(client(url, kind), instructions="Be brief.", name=name, tools=list(tools))


async def _run(agent, text, **kwargs):
    result = await agent.run(text, **kwargs)
    return result.text, [message.to_dict() for message in result.messages]


async def _streamed(agent, text, **kwargs):
    stream = agent.run(text, stream=True, **kwargs)
    pieces = [piece.text async for piece in stream]
    return pieces, (await stream.get_final_response()).text


async def _session(url):
    one = agent(url)
    session = one.create_session(session_id="s")
    return await _run(one, "weigh", session=session), await _streamed(one, "hello", session=session)


#: name: (program, its LLM calls, its tool calls)
ASYNC = {
    "hello": (lambda url: _run(agent(url, tools=()), "hello"), 1, 0),
    "tool": (lambda url: _run(agent(url), "weigh"), 2, 1),
    "parallel tools": (lambda url: _run(agent(url, tools=(weigh, measure)), "weigh and measure"), 2, 2),
    "failing tool": (lambda url: _run(agent(url, tools=(fail,)), "fail"), 2, 1),
    "streamed": (lambda url: _streamed(agent(url), "weigh"), 2, 1),
    "responses": (lambda url: _run(agent(url, kind=OpenAIChatClient), "weigh"), 2, 1),
    "responses streamed": (lambda url: _streamed(agent(url, kind=OpenAIChatClient), "weigh"), 2, 1),
    "session": (_session, 3, 1),
}

seen = comparer((r"af-call-[0-9a-f]+", "ID"))
