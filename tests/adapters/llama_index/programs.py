"""Programs as users write them with LlamaIndex, and what can be compared of two runs of one."""

from __future__ import annotations

from llama_index.core.agent.workflow import AgentWorkflow, CodeActAgent, FunctionAgent, ReActAgent
from llama_index.core.chat_engine import SimpleChatEngine
from llama_index.core.llms import ChatMessage
from llama_index.core.memory import ChatMemoryBuffer
from llama_index.core.prompts import PromptTemplate
from llama_index.llms.openai import OpenAI, OpenAIResponses
from pydantic import BaseModel

from aios_evals.endpoint import Prompt, ToolCall
from tests.support.runs import comparer

MODEL = "gpt-4o-mini"


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


async def count(what: str) -> str:
    """Count things."""
    return f"1 {what}"


def fail(what: str) -> str:
    """Fail."""
    raise ZeroDivisionError(what)


async def run_code(code: str) -> str:
    """Run code."""
    return str(eval(code))


def script(prompt: Prompt):
    """Call the tools that a user names, then answer; hand over to a writer; write code; follow the ReAct format."""
    system = str(prompt.messages[0].get("content")) if prompt.messages else ""
    asked = prompt.user_text
    if "<execute>" in system:
        return "<execute>6 * 7</execute>" if prompt.last.get("content") == "code" else "It is done."
    if "Action Input" in system:
        return _react(prompt)
    names = [tool["function"]["name"] for tool in prompt.tools]
    handed_over = "now handling" in str(prompt.last.get("content"))
    if prompt.last.get("role") == "tool" and not handed_over:
        return "It is done."
    if not handed_over and "handoff" in names and "hand over" in asked:
        return ToolCall("handoff", {"to_agent": "writer", "reason": "it writes"})
    named = [name for name in names if name in asked]
    if names and not named and not prompt.body.get("tool_choice"):
        return "no tool"
    return [ToolCall(name, _arguments(name, index)) for index, name in enumerate(named)] or None


def _arguments(name: str, index: int) -> dict:
    return {"what": f"apple {index}", **({"grams": 450} if name == "Weight" else {})}


def _react(prompt: Prompt) -> str:
    if "Observation" in str(prompt.last.get("content")):
        return "Thought: I can answer without using any more tools.\nAnswer: It is done."
    return 'Thought: I need to use a tool.\nAction: weigh\nAction Input: {"what": "apple"}'


def model(url: str, **kwargs) -> OpenAI:
    return OpenAI(api_base=url, api_key="test", model=MODEL, max_retries=0, **kwargs)


def responses(url: str) -> OpenAIResponses:
    return OpenAIResponses(api_base=url, api_key="test", model=MODEL, max_retries=0)


def agent(url: str, name: str = "bob", tools=(weigh,), **kwargs) -> FunctionAgent:
    return FunctionAgent(name=name, description=name, tools=list(tools), llm=model(url), **kwargs)


def react(url: str, name: str = "carl", tools=(weigh,)) -> ReActAgent:
    return ReActAgent(name=name, tools=list(tools), llm=model(url))


def coder(url: str) -> CodeActAgent:
    return CodeActAgent(name="coder", code_execute_fn=run_code, llm=model(url))


def team(url: str, *names: str) -> AgentWorkflow:
    first, second = names or ("alice", "writer")
    agents = [agent(url, first, can_handoff_to=[second]), agent(url, second)]
    return AgentWorkflow(agents=agents, root_agent=first)


def message(text: str) -> list[ChatMessage]:
    return [ChatMessage(role="user", content=text)]


async def _events(handler):
    """Everything that a run streams, and its result."""
    return [repr(event) async for event in handler.stream_events()], await handler


async def _collect(items):
    return [item async for item in await items]


def _tools(url, **kwargs):
    return agent(url, tools=(count, measure), **kwargs)


#: name: (program, its LLM calls, its tool calls)
SYNC = {
    "chat": (lambda url: model(url).chat(message("hello")), 1, 0),
    "complete": (lambda url: model(url).complete("hello"), 1, 0),
    "stream": (lambda url: list(model(url).stream_chat(message("hello"))), 1, 0),
    "stream complete": (lambda url: list(model(url).stream_complete("hello")), 1, 0),
    "predict": (lambda url: model(url).predict(PromptTemplate("say {x}"), x="hi"), 1, 0),
    "structured": (
        lambda url: model(url).structured_predict(Weight, PromptTemplate("7 apples, Weight")),
        1,
        0,
    ),
    "as structured": (lambda url: model(url).as_structured_llm(Weight).chat(message("7 apples, Weight")), 1, 0),
    "predict and call": (lambda url: model(url).predict_and_call([_tool(weigh)], "weigh"), 1, 1),
    "responses": (lambda url: responses(url).chat(message("hello")).message.content, 1, 0),
    "chat engine": (
        lambda url: (
            SimpleChatEngine.from_defaults(llm=model(url), memory=ChatMemoryBuffer.from_defaults(token_limit=500))
            .chat("hello")
            .response
        ),
        1,
        0,
    ),
}
ASYNC = {
    "chat": (lambda url: model(url).achat(message("hello")), 1, 0),
    "complete": (lambda url: model(url).acomplete("hello"), 1, 0),
    "stream": (lambda url: _collect(model(url).astream_chat(message("hello"))), 1, 0),
    "stream complete": (lambda url: _collect(model(url).astream_complete("hello")), 1, 0),
    "agent": (lambda url: _events(agent(url).run("weigh")), 2, 1),
    "agent, not streaming": (lambda url: _events(agent(url, streaming=False).run("weigh")), 2, 1),
    "parallel tools": (lambda url: _events(_tools(url).run("count and measure")), 2, 2),
    "failing tool": (lambda url: _events(agent(url, tools=(fail,)).run("fail")), 2, 1),
    "react": (lambda url: _events(react(url).run("weigh")), 2, 1),
    "code": (lambda url: _events(coder(url).run("code")), 2, 1),
    "team": (lambda url: _events(team(url).run("hand over, then weigh")), 3, 1),
}


def _tool(function):
    from llama_index.core.tools import FunctionTool

    return FunctionTool.from_defaults(function)


seen = comparer((r"(chatcmpl|call|resp|msg|fc)[_-][0-9a-f]+|created(_at)?['\"]?[:=] ?[\d.]+", "VARIES"))
