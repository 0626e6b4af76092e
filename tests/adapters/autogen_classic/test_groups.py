"""What AG2 0.x has and AutoGen 0.2 has not: patterns of groups, and chats that run in a thread."""

from __future__ import annotations

import pytest

from aios_kernel.abi import ToolCall
from aios_kernel.errors import AccessDenied
from aios_kernel.kernel import Kernel
from tests.adapters.autogen_classic.programs import config, weigh
from tests.support.columns import DENIAL, IDENTITY, LEASE, ONCE, TOOLS
from tests.support.runs import requests

pytest.importorskip("autogen.agentchat.group.patterns", reason="AutoGen 0.2 has no patterns")


def group(llm):
    """A group by a pattern: the agent's tool is run by the pattern's own executor."""
    from autogen import ConversableAgent
    from autogen.agentchat import initiate_group_chat
    from autogen.agentchat.group.patterns import DefaultPattern

    alice = ConversableAgent("alice", llm_config=llm, functions=[weigh], human_input_mode="NEVER")
    pattern = DefaultPattern(initial_agent=alice, agents=[alice])
    result, _, last = initiate_group_chat(pattern=pattern, messages="weigh", max_rounds=4)
    return [message["content"] for message in result.chat_history], last.name


def threaded(llm):
    """A chat that runs in a thread of its own while the program reads its events."""
    from autogen import ConversableAgent

    alice = ConversableAgent("alice", llm_config=llm, functions=[weigh], human_input_mode="NEVER")
    run = alice.run(message="weigh", max_turns=3, user_input=False)
    run.process()
    return [message["content"] for message in run.messages], run.summary


@pytest.mark.parametrize("program", [group, threaded])
@pytest.mark.shows(LEASE, ONCE, TOOLS, IDENTITY)
def test_program(program, endpoint, enabled):
    """It gives what it gives without the kernel, each call is one syscall, and the model's calls are the agent's."""
    native, sent = program(config(endpoint.base_url)), requests(endpoint)
    endpoint.reset()
    kernel = enabled()
    assert program(config(endpoint.base_url)) == native
    assert requests(endpoint) == sent
    counts = kernel.status().syscalls
    assert (counts["llm"], counts["tool"]) == (len(sent), 1)
    assert [row["name"] for row in kernel.status().agents if "llm" in row["syscalls"]] == ["alice"]


@pytest.mark.parametrize("program", [group, threaded])
@pytest.mark.shows(TOOLS, DENIAL)
def test_denied(program, endpoint, enabled):
    """The group goes on, and the model reads why a tool was refused."""

    def check(call, process):
        if isinstance(call, ToolCall):
            raise AccessDenied(f"{call.name} is not for you")

    kernel = Kernel(checks=(check,))
    enabled(kernel=kernel)
    program(config(endpoint.base_url))
    kernel.close()
    told = [m["content"] for m in endpoint.requests[-1].body["messages"] if m["role"] == "tool"]
    assert told == ["Error: weigh is not for you"]
