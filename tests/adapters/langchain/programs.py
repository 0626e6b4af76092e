"""Programs as users write them with LangChain and LangGraph, and what can be compared of two runs of one."""

from __future__ import annotations

import warnings

from langchain.agents import create_agent
from langchain_core.embeddings import Embeddings
from langchain_core.language_models import LLM
from langchain_core.outputs import GenerationChunk
from langchain_core.prompts import ChatPromptTemplate
from langchain_core.runnables import Runnable
from langchain_core.tools import tool
from langchain_openai import ChatOpenAI
from langgraph.graph import END, START, MessagesState, StateGraph
from pydantic import BaseModel

from aios_evals.endpoint import Prompt, ToolCall
from tests.support.runs import comparer


class Weight(BaseModel):
    """A weight."""

    what: str
    grams: int


@tool
def weigh(what: str) -> str:
    """Weigh a thing."""
    return f"{what} weighs 450 g"


@tool
async def measure(what: str) -> str:
    """Measure a thing."""
    return f"{what} is 8 cm wide"


@tool
def fail(what: str) -> str:
    """Fail."""
    raise ZeroDivisionError(what)


TOOLS = [weigh, measure]


def script(prompt: Prompt):
    """Call the tools that a user names, then that of a structured answer; the rest is the endpoint's default."""
    names = [tool["function"]["name"] for tool in prompt.tools]
    if prompt.last.get("role") == "tool":
        return ToolCall("Weight", {"what": "apple", "grams": 450}) if "Weight" in names else None
    named = [name for name in names if name in prompt.user_text] if prompt.last.get("role") == "user" else []
    if names and not named and not prompt.body.get("tool_choice"):
        return "no tool"
    return [ToolCall(name, {"what": f"apple {index}"}) for index, name in enumerate(named)] or None


class Letters(Embeddings):
    """Embeddings without the SDK."""

    def embed_documents(self, texts):
        return [[1.0, float(len(text))] for text in texts]

    def embed_query(self, text):
        return self.embed_documents([text])[0]


class Words(LLM):
    """A text model that streams its answer word by word."""

    def _call(self, prompt, stop=None, run_manager=None, **kwargs):
        return "hello big world"

    def _stream(self, prompt, stop=None, run_manager=None, **kwargs):
        for word in ("hello", " big", " world"):
            if run_manager:
                run_manager.on_llm_new_token(word)
            yield GenerationChunk(text=word)

    @property
    def _llm_type(self):
        return "words"


def model(url: str, **kwargs) -> ChatOpenAI:
    return ChatOpenAI(base_url=url, api_key="test", model="sim", max_retries=0, **kwargs)


def ask(text: str) -> dict:
    return {"messages": [{"role": "user", "content": text}]}


def react(url: str, name: str | None = None):
    """The older prebuilt agent, which LangGraph deprecates."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from langgraph.prebuilt import create_react_agent

        return create_react_agent(model(url), [weigh], name=name)


def workflow(url: str):
    """Two nodes that call a model by themselves."""

    def researcher(state):
        return {"messages": [model(url).invoke(state["messages"])]}

    async def writer(state):
        return {"messages": [await model(url).ainvoke(state["messages"])]}

    graph = StateGraph(MessagesState)
    graph.add_node("researcher", researcher)
    graph.add_node("writer", writer)
    graph.add_edge(START, "researcher")
    graph.add_edge("researcher", "writer")
    graph.add_edge("writer", END)
    return graph.compile()


def _v3(agent, text):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        run = agent.stream_events(ask(text), version="v3")
        return [list(message.text) for message in run.messages], run.output


async def _av3(agent, text):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        run = await agent.astream_events(ask(text), version="v3")
        texts = [[piece async for piece in message.text] async for message in run.messages]
        return texts, await run.output()


async def _collect(items):
    return [item async for item in items]


#: name: (program, its LLM calls, its tool calls)
#: Whether there is a third version of the events; LangChain 1.0 has none.
HAS_V3 = hasattr(Runnable, "stream_events")
SYNC = {
    "invoke": (lambda url: model(url).invoke("hello"), 1, 0),
    "stream": (lambda url: list(model(url, stream_usage=True).stream("hello")), 1, 0),
    "batch": (lambda url: model(url).batch(["a", "b", "c"]), 3, 0),
    "structured": (lambda url: model(url).with_structured_output(Weight).invoke("7 apples"), 1, 0),
    "structured by tool": (
        lambda url: model(url).with_structured_output(Weight, method="function_calling").invoke("7 apples"),
        1,
        0,
    ),
    "chain": (lambda url: (ChatPromptTemplate.from_template("say {x}") | model(url)).invoke({"x": "hi"}), 1, 0),
    "responses": (lambda url: model(url, use_responses_api=True).invoke("hello").text, 1, 0),
    "agent": (lambda url: create_agent(model(url), [weigh], name="bob").invoke(ask("weigh")), 2, 1),
    "agent with structure": (
        lambda url: create_agent(model(url), [weigh], response_format=Weight).invoke(ask("weigh")),
        2,
        1,
    ),
    "parallel tools": (lambda url: create_agent(model(url), [weigh]).invoke(ask("weigh")), 2, 1),
    "agent values": (
        lambda url: list(create_agent(model(url), [weigh]).stream(ask("weigh"), stream_mode="values")),
        2,
        1,
    ),
    "agent updates": (
        lambda url: list(create_agent(model(url), [weigh]).stream(ask("weigh"), stream_mode="updates")),
        2,
        1,
    ),
    "agent messages": (
        lambda url: list(create_agent(model(url), [weigh]).stream(ask("weigh"), stream_mode="messages")),
        2,
        1,
    ),
    "agent v3": (lambda url: _v3(create_agent(model(url), [weigh]), "weigh"), 2, 1),
    "agent batch": (lambda url: create_agent(model(url), [weigh]).batch([ask("weigh"), ask("weigh")]), 4, 2),
    "react": (lambda url: react(url, "carl").invoke(ask("weigh")), 2, 1),
}
ASYNC = {
    "invoke": (lambda url: model(url).ainvoke("hello"), 1, 0),
    "stream": (lambda url: _collect(model(url, stream_usage=True).astream("hello")), 1, 0),
    "events": (lambda url: _collect(model(url).astream_events("hello", version="v2")), 1, 0),
    "batch": (lambda url: model(url).abatch(["a", "b", "c"]), 3, 0),
    "structured": (lambda url: model(url).with_structured_output(Weight).ainvoke("7 apples"), 1, 0),
    "agent": (lambda url: create_agent(model(url), TOOLS).ainvoke(ask("weigh")), 2, 1),
    "parallel tools": (lambda url: create_agent(model(url), TOOLS).ainvoke(ask("weigh and measure")), 2, 2),
    "agent messages": (
        lambda url: _collect(create_agent(model(url), TOOLS).astream(ask("measure"), stream_mode="messages")),
        2,
        1,
    ),
    "agent events": (
        lambda url: _collect(create_agent(model(url), TOOLS).astream_events(ask("measure"), version="v2")),
        2,
        1,
    ),
    "agent v3": (lambda url: _av3(create_agent(model(url), TOOLS), "measure"), 2, 1),
    "react": (lambda url: react(url).ainvoke(ask("weigh")), 2, 1),
    "workflow": (lambda url: workflow(url).ainvoke(ask("hello")), 2, 0),
}

seen = comparer((r"resp_[0-9a-f]+|'created(_at)?': [\d.]+", "VARIES"))


if not HAS_V3:
    del SYNC["agent v3"], ASYNC["agent v3"]
