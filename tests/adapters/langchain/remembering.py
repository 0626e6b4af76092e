"""A program whose agent remembers: a conversation of several turns, and a store beside it."""

from __future__ import annotations

from langchain.agents import create_agent
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.store.memory import InMemoryStore

from tests.adapters.langchain.programs import ask, model, weigh

__all__ = ["PROGRAMS", "seen"]


def conversation(url):
    """Three turns that checkpoints tie together."""
    store = InMemoryStore()
    agent = create_agent(model(url), [weigh], name="bob", checkpointer=InMemorySaver(), store=store)
    config = {"configurable": {"thread_id": "t1"}}
    for turn in ("weigh", "hello", "weigh again"):
        result = agent.invoke(ask(turn), config)
        store.put(("turns",), turn, {"messages": len(result["messages"])})
    history = [len(state.values.get("messages", ())) for state in agent.get_state_history(config)]
    said = [[message.type, message.content] for message in result["messages"]]
    return {"said": said, "history": history, "turns": [[item.key, item.value] for item in store.search(("turns",))]}


def seen(result):
    return result


#: Name -> program, calls of models, calls of tools.
PROGRAMS = {"conversation": (conversation, 5, 2)}
