"""Memory: what an agent remembers and the messages it keeps go through the kernel, and its answers stay the same."""

from __future__ import annotations

import pytest
from autogen_agentchat.agents import AssistantAgent
from autogen_agentchat.teams import RoundRobinGroupChat
from autogen_core.memory import ListMemory, MemoryContent, MemoryMimeType
from autogen_core.model_context import BufferedChatCompletionContext, UnboundedChatCompletionContext
from autogen_core.models import UserMessage

from aios_kernel.errors import AccessDenied
from aios_kernel.kernel import Kernel
from tests.adapters.autogen.programs import client, seen
from tests.support.columns import DENIAL, IDENTITY, LEASE, MEMORY
from tests.support.runs import requests

pytestmark = pytest.mark.shows(MEMORY)


def _watch(kernel):
    seen = []

    def note(event):
        if event.name == "submit" and event.kind == "memory":
            seen.append((event.agent, event.content.arguments["operation"]))

    kernel.bus.subscribe(note)
    return seen


async def _remembering(model, name="alice"):
    memory = ListMemory()
    await memory.add(MemoryContent(content="Ada likes pears", mime_type=MemoryMimeType.TEXT))
    agent = AssistantAgent(name, model, memory=[memory])
    return agent, memory


@pytest.mark.shows(LEASE, IDENTITY)
async def test_an_agent_with_memory(endpoint, enabled):
    """The memory reaches the prompt as before; its reads and writes are syscalls of the agent, also outside a team."""
    # Memory comes as one more system message.
    async with client(endpoint.base_url, multiple_system_messages=True) as model:
        agent, _ = await _remembering(model)
        native, sent = seen(await agent.run(task="hello")), requests(endpoint)
        endpoint.reset()
        kernel = Kernel(record_content=True)
        enabled(kernel=kernel)
        calls = _watch(kernel)
        agent, memory = await _remembering(model)
        assert seen(await agent.run(task="hello")) == native
        assert requests(endpoint) == sent
        assert calls[0] == ("root", "add")  # by the program itself
        assert set(calls[1:]) == {("alice", name) for name in ("add_message", "update_context", "get_messages")}
        # The memory's own writing to the agent's context is a call to another store.
        assert calls.count(("alice", "update_context")) == 1
        assert [found.content for found in (await memory.query("pears")).results] == ["Ada likes pears"]
        await memory.clear()
        assert calls[-2:] == [("root", "query"), ("root", "clear")]
    kernel.close()


@pytest.mark.shows(IDENTITY)
async def test_agents_of_a_team(endpoint, enabled):
    """In a team every agent's memory is its own."""
    kernel = Kernel(record_content=True)
    enabled(kernel=kernel)
    calls = _watch(kernel)
    async with client(endpoint.base_url) as model:
        agents = [AssistantAgent(name, model) for name in ("alice", "bob")]
        await RoundRobinGroupChat(agents, max_turns=2).run(task="hello")
    assert {agent for agent, _ in calls} == {"alice", "bob"}
    kernel.close()


@pytest.mark.parametrize(
    "context", [UnboundedChatCompletionContext, lambda: BufferedChatCompletionContext(buffer_size=1)]
)
async def test_model_contexts(enabled, context):
    """Each use of a model context is one syscall, with the messages that it gave before."""
    counts = lambda: kernel.status().syscalls.get("memory", 0)  # noqa: E731
    kernel = Kernel()
    enabled(kernel=kernel)
    kept = context()
    for number in range(2):
        await kept.add_message(UserMessage(content=f"m{number}", source="u"))
    assert counts() == 2
    wanted = ["m0", "m1"] if isinstance(kept, UnboundedChatCompletionContext) else ["m1"]
    assert [message.content for message in await kept.get_messages()] == wanted
    await kept.clear()
    assert counts() == 4
    assert await kept.get_messages() == []
    kernel.close()


@pytest.mark.shows(DENIAL)
async def test_a_refused_write_raises_and_writes_nothing(enabled):
    """Memory that the kernel refuses is an error the program sees, never a silent loss."""

    def refuse(call, process):
        if call.kind == "memory" and call.verb == "add":
            raise AccessDenied("not yours")

    kernel = Kernel(checks=(refuse,))
    enabled(kernel=kernel)
    memory = ListMemory()
    with pytest.raises(AccessDenied, match="not yours"):
        await memory.add(MemoryContent(content="x", mime_type=MemoryMimeType.TEXT))
    assert memory.content == []
    kernel.close()
