"""LangChain and LangGraph on the simulated endpoint, without the kernel."""

from __future__ import annotations

from langchain.agents import create_agent
from langchain_core.tools import tool
from langchain_openai import ChatOpenAI

from aios_evals.endpoint import Endpoint


@tool
def weigh(what: str) -> str:
    """Weigh a thing."""
    return f"{what} weighs 450 g"


def test_agent_loop():
    """A ReAct agent calls its tool once and answers with the result."""
    with Endpoint() as endpoint:
        model = ChatOpenAI(base_url=endpoint.base_url, api_key="test", model="sim")
        agent = create_agent(model, [weigh])
        result = agent.invoke({"messages": [{"role": "user", "content": "an apple"}]})
        assert [message.type for message in result["messages"]] == ["human", "ai", "tool", "ai"]
        assert result["messages"][2].content == "an apple weighs 450 g"
        assert len(endpoint.requests) == 2
