"""A LangGraph graph of two agents: the clerk looks prices up and adds them, the writer words the offer."""

import os

from langchain.agents import create_agent
from langchain.agents.middleware import ModelCallLimitMiddleware
from langchain_openai import ChatOpenAI
from langgraph.graph import END, START, MessagesState, StateGraph

import aios_adapters

aios_adapters.enable()

PRICES = {"apple": 3, "pear": 4}


def price(item: str) -> str:
    """Look up the price of one item."""
    return str(next((price for name, price in PRICES.items() if name in item), "not in the list"))


def total(price: int, count: int) -> int:
    """Multiply a price by a count."""
    return price * count


llm = ChatOpenAI(
    model=os.environ["OPENAI_MODEL"],
    base_url=os.environ["OPENAI_BASE_URL"],
    api_key=os.environ["OPENAI_API_KEY"],
    max_tokens=200,
)
clerk = create_agent(
    llm,
    tools=[price, total],
    system_prompt="Look up the price, then compute the total.",
    middleware=[ModelCallLimitMiddleware(run_limit=6, exit_behavior="end")],
    name="clerk",
)


def write(state: MessagesState) -> dict:
    facts = state["messages"][-1].text
    return {"messages": [llm.invoke(f"Write a short offer for 5 pears. What is known: {facts}")]}


graph = StateGraph(MessagesState)
graph.add_node("clerk", clerk)
graph.add_node("writer", write)
graph.add_edge(START, "clerk")
graph.add_edge("clerk", "writer")
graph.add_edge("writer", END)
result = graph.compile().invoke({"messages": [{"role": "user", "content": "What is the price of one pear?"}]})
for message in result["messages"]:
    if message.type == "tool":
        print(f"{message.name}: {message.text}")
print(result["messages"][-1].text)
