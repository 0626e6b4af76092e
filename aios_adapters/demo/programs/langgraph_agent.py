"""A LangGraph agent: LangChain's `create_agent`, which builds a graph of a model node and a tool node."""

# pyright: basic
from __future__ import annotations

from collections.abc import Callable, Sequence

from langchain.agents import create_agent
from langchain_openai import ChatOpenAI
from pydantic import SecretStr


def run(question: str, tools: Sequence[Callable[..., str]], *, model: str) -> str:
    """Answer one question with these tools."""
    llm = ChatOpenAI(model=model, base_url="http://127.0.0.1:9/v1", api_key=SecretStr("not-needed"), temperature=0)
    agent = create_agent(llm, tools=list(tools), name="assistant")
    result = agent.invoke({"messages": [{"role": "user", "content": question}]}, {"recursion_limit": 15})
    return result["messages"][-1].text
