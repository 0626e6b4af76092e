"""Programs as users write them with AutoGen 0.2 and AG2 0.x, and what can be compared of two runs of one."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import autogen
from autogen import AssistantAgent, ConversableAgent, GroupChat, GroupChatManager, UserProxyAgent
from autogen.coding import LocalCommandLineCodeExecutor

from aios_evals.endpoint import Prompt, Reply, ToolCall

CODE = "Run this:\n```sh\necho $((6 * 7))\n```"


def weigh(what: str) -> str:
    """Weigh a thing."""
    return f"{what} weighs 450 g"


async def measure(what: str) -> str:
    """Measure a thing."""
    await asyncio.sleep(0)
    return f"{what} is 8 cm wide"


def script(prompt: Prompt):
    """Call the tools that a user names, choose a speaker, write code; the rest is the endpoint's default."""
    whole = json.dumps(prompt.messages)
    if "select the next role" in whole or "Read the above conversation" in whole:
        return Reply("bob" if '"alice"' in whole else "alice")
    if "write code" in prompt.user_text and not any("exitcode" in json.dumps(m) for m in prompt.messages):
        return Reply(CODE)
    if not prompt.tools or any(m.get("role") == "tool" for m in prompt.messages):
        return Reply("all done TERMINATE") if prompt.tools else None
    named = [t["function"]["name"] for t in prompt.tools if t["function"]["name"] in prompt.user_text]
    return [ToolCall(name, {"what": f"apple {index}"}) for index, name in enumerate(named)] or None


def config(url: str, **more) -> dict:
    """An `llm_config` without a cache."""
    entry = {"model": "sim", "base_url": url, "api_key": "test", "max_retries": 0, "price": [0, 0], **more}
    return {"config_list": [entry], "cache_seed": None}


def streamed(llm) -> dict:
    """The same with a model that streams."""
    return {**llm, "config_list": [{**entry, "stream": True} for entry in llm["config_list"]]}


def ended(message) -> bool:
    return "TERMINATE" in str(message.get("content"))


def pair(llm, *, tools=(weigh, measure), name="alice", **proxy):
    """An assistant and the proxy that runs its tools."""
    assistant = AssistantAgent(name, llm_config=llm, system_message="Help.")
    user = UserProxyAgent(
        "user",
        human_input_mode="NEVER",
        is_termination_msg=ended,
        max_consecutive_auto_reply=3,
        **{"code_execution_config": False, **proxy},
    )
    for tool in tools:
        autogen.register_function(tool, caller=assistant, executor=user, description=tool.__doc__)
    return assistant, user


def wrapper(llm):
    """One call without agents."""
    client = autogen.OpenAIWrapper(**llm)
    response = client.create(messages=[{"role": "user", "content": "hello"}])
    return client.extract_text_or_completion_object(response), response.usage.total_tokens, client.total_usage_summary


def streaming(llm):
    """One streamed call."""
    return wrapper(streamed(llm))


def chat(llm, task="weigh"):
    """Two agents and a tool."""
    assistant, user = pair(llm)
    result = user.initiate_chat(assistant, message=task, silent=True)
    return result.chat_history, result.summary


def async_tool(llm):
    """A synchronous chat with an asynchronous tool."""
    return chat(llm, "measure")


def streamed_chat(llm):
    """Two agents, a tool, and a model that streams."""
    return chat(streamed(llm), "weigh and measure")


async def achat(llm, task="weigh and measure"):
    """An asynchronous chat; its model is called in a thread."""
    assistant, user = pair(llm)
    result = await user.a_initiate_chat(assistant, message=task, silent=True)
    return result.chat_history, result.summary


def team(llm, **how):
    """The manager of a group of two."""
    agents = [ConversableAgent(name, llm_config=llm, human_input_mode="NEVER") for name in ("alice", "bob")]
    group = GroupChat(agents, messages=[], max_round=3, **how)
    return agents, GroupChatManager(group, llm_config=llm, human_input_mode="NEVER")


def group(llm):
    """A group whose manager asks a model for the next speaker."""
    agents, manager = team(llm)
    result = agents[0].initiate_chat(manager, message="count", silent=True)
    return result.chat_history


def round_robin(llm):
    """A group that takes turns."""
    agents, manager = team(llm, speaker_selection_method="round_robin")
    return agents[0].initiate_chat(manager, message="count", silent=True).chat_history


async def agroup(llm):
    """The same group, asynchronously."""
    agents, manager = team(llm)
    return (await agents[0].a_initiate_chat(manager, message="count", silent=True)).chat_history


def nested(llm):
    """An agent that answers by a chat of its own with another."""
    inner = ConversableAgent("inner", llm_config=llm, human_input_mode="NEVER")
    boss = ConversableAgent("boss", llm_config=llm, human_input_mode="NEVER")
    user = UserProxyAgent("user", human_input_mode="NEVER", code_execution_config=False, max_consecutive_auto_reply=0)
    chats = [{"recipient": inner, "max_turns": 1, "summary_method": "reflection_with_llm", "silent": True}]
    boss.register_nested_chats(chats, trigger=user)
    return user.initiate_chat(boss, message="ask inner", max_turns=1, silent=True).chat_history


def queue(llm):
    """Chats one after another, each with what the last one came to."""
    user = UserProxyAgent("user", human_input_mode="NEVER", code_execution_config=False)
    experts = [ConversableAgent(name, llm_config=llm, human_input_mode="NEVER") for name in ("alice", "bob")]
    chats = [{"recipient": expert, "message": "count", "max_turns": 1, "silent": True} for expert in experts]
    return [result.chat_history for result in user.initiate_chats(chats)]


async def aqueue(llm):
    """Chats at the same time."""
    user = UserProxyAgent("user", human_input_mode="NEVER", code_execution_config=False)
    experts = [ConversableAgent(name, llm_config=llm, human_input_mode="NEVER") for name in ("alice", "bob")]
    chats = [
        {"chat_id": number, "recipient": expert, "message": "count", "max_turns": 1, "silent": True}
        for number, expert in enumerate(experts)
    ]
    results = await user.a_initiate_chats(chats)
    return [results[number].chat_history for number in sorted(results)]


def coder(llm):
    """An agent that runs code with an executor."""
    executor = LocalCommandLineCodeExecutor(work_dir=Path.cwd())
    assistant, user = pair(llm, tools=(), code_execution_config={"executor": executor})
    return user.initiate_chat(assistant, message="write code", max_turns=2, silent=True).chat_history


def legacy_coder(llm):
    """An agent that runs code by itself."""
    assistant, user = pair(llm, tools=(), code_execution_config={"use_docker": False, "work_dir": "."})
    return user.initiate_chat(assistant, message="write code", max_turns=2, silent=True).chat_history


#: name: (program, its LLM calls, its tool calls)
PROGRAMS = {
    "wrapper": (wrapper, 1, 0),
    "streaming": (streaming, 1, 0),
    "chat": (chat, 2, 1),
    "async tool": (async_tool, 2, 1),
    "streamed chat": (streamed_chat, 2, 2),
    "async chat": (achat, 2, 2),
    "group": (group, 4, 0),
    "round robin": (round_robin, 2, 0),
    "async group": (agroup, 4, 0),
    "nested": (nested, 2, 0),
    "queue": (queue, 2, 0),
    "async queue": (aqueue, 2, 0),
    "coder": (coder, 2, 1),
    "legacy coder": (legacy_coder, 2, 1),
}


def run(program, *args, **kwargs):
    """Run a program of either kind."""
    made = program(*args, **kwargs)
    return asyncio.run(made) if asyncio.iscoroutine(made) else made
