"""Who is calling: agents of chats, groups and nested chats, also when they run at the same time."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor

import autogen
import pytest
from autogen import ConversableAgent, UserProxyAgent

import aios_adapters
from tests.adapters.autogen_classic.programs import PROGRAMS, achat, agroup, chat, config, group, run
from tests.support.columns import ASYNC, IDENTITY

pytestmark = pytest.mark.shows(IDENTITY)


def callers(kernel, kind="llm"):
    """How many calls each agent made, by name."""
    return sorted((row["name"], row["syscalls"][kind]) for row in kernel.status().agents if kind in row["syscalls"])


def test_a_chat(endpoint, enabled):
    """The model's calls are the assistant's, the tool's use is that of the agent which runs it."""
    kernel = enabled()
    chat(config(endpoint.base_url))
    assert (callers(kernel), callers(kernel, "tool")) == ([("alice", 2)], [("user", 1)])


@pytest.mark.parametrize("program", [group, pytest.param(agroup, marks=pytest.mark.shows(ASYNC))])
def test_a_manager_is_an_agent(program, endpoint, enabled):
    """What a manager asks a model to choose the next speaker is the manager's, not that of its helpers."""
    kernel = enabled()
    run(program, config(endpoint.base_url))
    assert callers(kernel) == [("bob", 2), ("chat_manager", 2)]


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("round robin", [("alice", 1), ("bob", 1)]),
        ("nested", [("boss", 1), ("inner", 1)]),
        ("queue", [("alice", 1), ("bob", 1)]),
        pytest.param("async queue", [("alice", 1), ("bob", 1)], marks=pytest.mark.shows(ASYNC)),
        ("wrapper", [("main", 1)]),
    ],
)
def test_each_call_is_its_agents(name, expected, endpoint, enabled):
    """The name of the agent that asks, in chats of every form; a call without an agent is the root agent's."""
    kernel = enabled()
    run(PROGRAMS[name][0], config(endpoint.base_url))
    found = callers(kernel)
    assert found == expected or (name == "wrapper" and [calls for _, calls in found] == [1])


@pytest.mark.shows(ASYNC)
async def test_concurrent_chats(endpoint, enabled):
    """Chats under asyncio.gather, each with an `alice`, call their models in threads: as many processes as objects."""
    kernel = enabled()
    llm = config(endpoint.base_url)
    await asyncio.gather(*(achat(llm) for _ in range(3)))
    assert callers(kernel) == [("alice", 2)] * 3
    assert callers(kernel, "tool") == [("user", 2)] * 3


def test_thread_pool(endpoint, enabled):
    """Chats in a pool of threads keep their agents and what is around them apart."""
    kernel = enabled()
    llm = config(endpoint.base_url)

    def one(number):
        with aios_adapters.agent(f"job {number}", group=f"group {number}"):
            chat(llm)

    with ThreadPoolExecutor(2) as pool:
        list(pool.map(one, range(2)))
    rows = [row for row in kernel.status().agents if "llm" in row["syscalls"]]
    assert sorted((row["name"], row["group"]) for row in rows) == [("alice", "group 0"), ("alice", "group 1")]


def test_one_object_is_one_agent(endpoint, enabled):
    """An agent that answers in a group, alone, and inside another's nested chat stays one process."""
    llm = config(endpoint.base_url)
    kernel = enabled()
    alice = ConversableAgent("alice", llm_config=llm, human_input_mode="NEVER")
    boss = ConversableAgent("boss", llm_config=llm, human_input_mode="NEVER")
    user = UserProxyAgent("user", human_input_mode="NEVER", code_execution_config=False, max_consecutive_auto_reply=0)
    user.initiate_chat(alice, message="hello", max_turns=1, silent=True)
    boss.register_nested_chats([{"recipient": alice, "max_turns": 1, "silent": True}], trigger=user)
    user.initiate_chat(boss, message="ask alice", max_turns=1, silent=True)
    assert callers(kernel) == [("alice", 2)]


def test_a_reply_of_the_programs_own(endpoint, enabled):
    """Whatever a registered reply function calls is its agent's."""
    llm = config(endpoint.base_url)

    def ask(recipient, messages=None, sender=None, config=None):
        response = autogen.OpenAIWrapper(**llm).create(messages=[{"role": "user", "content": "hi"}])
        return True, response.choices[0].message.content

    kernel = enabled()
    carol = ConversableAgent("carol", llm_config=False, human_input_mode="NEVER")
    carol.register_reply([autogen.Agent, None], ask)
    user = UserProxyAgent("user", human_input_mode="NEVER", code_execution_config=False)
    user.initiate_chat(carol, message="hello", max_turns=1, silent=True)
    assert callers(kernel) == [("carol", 1)]


def test_explicit_settings_are_inherited(endpoint, enabled):
    """Inside agent(), AutoGen's agent keeps its name and takes group and priority from around it."""
    kernel = enabled()
    with aios_adapters.agent("job", group="night", priority=3):
        chat(config(endpoint.base_url))
    rows = [row for row in kernel.status().agents if "llm" in row["syscalls"]]
    assert [(row["name"], row["group"]) for row in rows] == [("alice", "night")]
