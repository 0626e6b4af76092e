"""A LangGraph agent of the group "desk": it writes notes and a file for agents of other programs and frameworks."""

import os

from langchain.agents import create_agent
from langchain.agents.middleware import ModelCallLimitMiddleware
from langchain_openai import ChatOpenAI
from langgraph.store.memory import InMemoryStore

import aios_adapters
from aios_kernel.sdk import Client

aios_adapters.enable(kernel=os.environ.get("AIOS_KERNEL", "auto"), memory=True)
desk = Client(aios_adapters.kernel())  # in a tool: as the agent that uses it
store = InMemoryStore()  # LangGraph's own; what is put there is in the kernel's memory, too, as the agent's


def note(text: str) -> str:
    """Tell the desk a fact."""
    return desk.create_memory(text, owner="group:desk")["text"]


def remember(fact: str) -> str:
    """Remember a fact."""
    store.put(("facts",), fact[:20], {"fact": fact})
    return "remembered"


def save(path: str, content: str) -> str:
    """Write a file for the desk."""
    version = desk.write_file(path, content, root="group:desk")["version"]
    return f"{path}, version {version}"


llm = ChatOpenAI(
    model=os.environ["OPENAI_MODEL"],
    base_url=os.environ["OPENAI_BASE_URL"],
    api_key=os.environ["OPENAI_API_KEY"],
    max_tokens=200,
)
scribe = create_agent(
    llm,
    tools=[note, remember, save],
    system_prompt="Tell the desk, remember, and save a timetable.",
    middleware=[ModelCallLimitMiddleware(run_limit=6, exit_behavior="end")],
    name="scribe",
)
told = "The ferry leaves at nine from pier 4. Tickets are sold on board."
result = scribe.invoke({"messages": [{"role": "user", "content": told}]})
for message in result["messages"]:
    if message.type == "tool":
        print(f"{message.name}: {message.text}")
